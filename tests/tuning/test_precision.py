"""Precision and memory format: the decision from given times, exactly; measuring, which changes nothing; what is kept."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from small import recipe

from zoo.config.recipe import Train
from zoo.distributed.processes import Processes
from zoo.timm_index import cache_folder
from zoo.training.setup import Setup, build
from zoo.tuning import benchmark
from zoo.tuning.benchmark import ROUNDS, ComputeFormat, count_operations, count_passes, time_steps
from zoo.tuning.precision import PrecisionChoice, candidates, choose, decide, describe_speedup
from zoo.tuning.trial_step import TrialStep

PLAIN, BF16 = ComputeFormat("fp32", True), ComputeFormat("bf16", True)
WAYS = [PLAIN, BF16, ComputeFormat("fp32", False), ComputeFormat("bf16", False)]
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever the machine has; and with a cache of the test's own."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


def setup(epochs: int = 100_000, backbone: str = "test_resnet", **sections) -> Setup:
    """A model and data of a run that is, by its epochs, long enough to be measured."""
    sections["data"] = {"source": "sample:fashion-mnist", "limit": 40, "batch_size": 8, **sections.get("data", {})}
    sections["train"] = {"epochs": epochs, **sections.get("train", {})}
    return build(recipe(backbone, **sections))


def kept() -> list[Path]:
    return sorted((cache_folder() / "speed").glob("*"))


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        ({}, WAYS),
        ({"precision": "fp32"}, [PLAIN, ComputeFormat("fp32", False)]),
        ({"precision": "bf16", "channels_last": True}, [BF16]),
        ({"channels_last": False}, [ComputeFormat("fp32", False), ComputeFormat("bf16", False)]),
    ],
)
def test_what_the_recipe_leaves_open(train, expected):
    assert candidates(Train(**train), CPU) == expected


DECISIONS = {
    "nothing was measured": ({}, PLAIN),
    "a tenth faster": ([[111] * 4, [100] * 4], BF16),
    "not quite a tenth": ([[109] * 4, [100] * 4], PLAIN),
    "faster but for noise": ([[130, 130, 130, 99], [100] * 4], PLAIN),
    "faster but for its own noise": ([[130] * 4, [100, 100, 100, 131]], PLAIN),
    "steps enough": ([[130] * 2, [100] * 2], BF16),
    "too few steps": ([[130] * 4, [100]], PLAIN),
    "too few of the plain": ([[130], [100] * 4], PLAIN),
    "another format": ([[130] * 4, [150], [100] * 4, []], WAYS[2]),
    "plainer where about as fast": ([[150] * 4, [100] * 4, [140] * 4, [95] * 4], BF16),
    "the fastest of all": ([[150] * 4, [120] * 4, [160], [100] * 4], WAYS[3]),
    "a slow model": ([[], [], [], []], PLAIN),
}


@pytest.mark.parametrize(("times", "expected"), DECISIONS.values(), ids=DECISIONS)
def test_the_decision(times, expected):
    assert ROUNDS == 4
    assert decide(WAYS, dict(zip(map(str, WAYS), times, strict=False))) == expected


def test_the_decision_in_words():
    choice = PrecisionChoice(
        BF16, {"fp32 channels-last": [26.0, 25.0, 27.0], "bf16 channels-last": [20.0], "bf16 contiguous": []}
    )
    assert choice.record() == {"fp32 channels-last": 26.0, "bf16 channels-last": 20.0}
    assert describe_speedup(BF16, choice.record()) == "bf16 channels-last (measured: 1.3x fp32 channels-last)"
    assert describe_speedup(PLAIN, {"fp32 channels-last": 26.0}) == describe_speedup(PLAIN, {}) == ""


def test_operations_and_images_are_counted_not_timed():
    many = setup(10, backbone="resnet18", schedule={"name": "two-stage", "head_epochs": 3})
    assert count_operations(many, CPU) == pytest.approx(2 * 1.8e9 * (32 / 224) ** 2, rel=0.05)  # published for 224 px
    assert count_passes(many) == pytest.approx(40 * (7 + 1 / 3))


def test_operations_of_a_head_that_reads_a_learned_start_are_counted():
    assert count_operations(setup(10, head={"name": "gru"}), CPU) > count_operations(
        setup(10, head={"name": "pooled"}), CPU
    )


def test_what_a_busy_machine_cut_short_is_not_kept(monkeypatch):
    monkeypatch.setattr(benchmark, "MOST_S", 0.0)
    choice = choose(setup(), Processes("auto"))
    assert choice == PrecisionChoice(PLAIN) and kept() == []


def test_measuring_leaves_everything_as_it_was():
    own, processes = setup(head={"name": "linear", "dropout": 0.5}), Processes("auto")
    own.model.train().conv1.requires_grad_(False)
    state = {name: tensor.clone() for name, tensor in own.model.state_dict().items()}
    modes, wanted = [m.training for m in own.model.modules()], [p.requires_grad for p in own.model.parameters()]
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    choice = choose(own, processes)
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    assert list(choice.ms) == list(map(str, WAYS)) and len(kept()) == 1
    assert all(torch.equal(state[name], tensor) for name, tensor in own.model.state_dict().items())
    assert [m.training for m in own.model.modules()] == modes
    assert [p.requires_grad for p in own.model.parameters()] == wanted
    assert all(p.grad is None for p in own.model.parameters())


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit"])
def test_steps_are_real_and_in_turn(backbone):
    own = setup(backbone=backbone, optim={"name": "sgd", "options": {"momentum": 0.9}})
    trial_step = TrialStep(own, CPU)
    weights = [p.clone() for p in trial_step.model.parameters()]
    ms = time_steps(trial_step, WAYS, 4, budget_s=60.0)
    assert all(1 <= len(times) <= len(ms[str(PLAIN)]) <= ROUNDS for times in ms.values())  # the hopeless drop out
    assert not all(torch.equal(a, b) for a, b in zip(weights, trial_step.model.parameters(), strict=True))
    assert time_steps(trial_step, WAYS, 4, budget_s=0.0) == {str(compute_format): [] for compute_format in WAYS}


def plant(times: dict) -> None:
    (path,) = kept()
    path.write_text(json.dumps(times))


def winning(compute_format: ComputeFormat) -> dict[str, list[float]]:
    return {str(other): [50.0 if other == compute_format else 100.0] * ROUNDS for other in WAYS}


def test_what_was_measured_is_not_measured_again():
    own, processes = setup(), Processes("auto")
    choose(own, processes)
    for compute_format in (*WAYS, PLAIN):
        plant(winning(compute_format))
        assert choose(own, processes) == PrecisionChoice(compute_format, winning(compute_format))
    assert len(kept()) == 1


CUT_SHORT = [{str(compute_format): [50.0] * rounds for compute_format in WAYS} for rounds in (0, 1, ROUNDS - 1)]
DAMAGE = ["", "{", "[1]", "null", '{"fp32 channels-last": [1.0]}', *map(json.dumps, CUT_SHORT)]
WRONG = [-1.0, 0.0, float("inf"), float("nan"), "1", None, True]


@pytest.mark.parametrize("text", [*DAMAGE, *(json.dumps(winning(BF16) | {str(PLAIN): [x]}) for x in WRONG)])
def test_a_damaged_entry_is_measured_again(text):
    own, processes = setup(train={"early_stop": {"target": 0.5}}), Processes("auto")
    choose(own, processes)
    (path,) = kept()
    path.write_text(text)
    choice = choose(own, processes)
    assert json.loads(path.read_text()) == choice.ms
    assert list(choice.ms) == list(map(str, WAYS))


def test_a_cache_that_cannot_be_written_is_no_fault(tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert list(choose(setup(), Processes("auto")).ms) == list(map(str, WAYS))


OTHERS = {
    "image size": {"size": 64},
    "batch": {"data": {"batch_size": 4}},
    "backbone": {"backbone": "test_vit"},
    "head": {"head": "mlp"},
    "optimiser": {"optim": {"name": "sgd"}},
    "loss": {"train": {"loss": "bce"}},
    "schedule": {"schedule": {"name": "first-k", "k": 2}},
    "precision": {"train": {"precision": "bf16"}},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_what_the_times_depend_on_is_measured_anew(other):
    processes = Processes("auto")
    for sections in ({}, other, {}, other):
        choose(setup(**sections), processes)
    assert len(kept()) == 2


def test_weights_and_seed_change_nothing():
    processes = Processes("auto")
    for train in ({}, {"seed": 1}, {"label_smoothing": 0.1}, {"epochs": 90_000}):
        choose(setup(train=train), processes)
    assert len(kept()) == 1


@pytest.mark.parametrize(
    "sections", [{"epochs": 3}, {"train": {"precision": "bf16", "channels_last": False}}], ids=["short", "nothing open"]
)
def test_where_nothing_is_measured(sections):
    own = setup(**sections)
    train = own.recipe.train
    assert choose(own, Processes(train.precision)) == PrecisionChoice(candidates(train, CPU)[0])
    assert not kept()


SHY = """
import torch
from torch import nn

class Shy(nn.Module):
    def __init__(self, features, num_classes):
        super().__init__()
        self.top = nn.Linear(features.channels, num_classes)

    def forward(self, x):
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("no bf16 here")
        return self.top(x.mean((2, 3)))
"""


def test_a_model_that_has_no_other_way_takes_the_plain_one(install):
    install("zoo-shy", heads={"shy": "zoo_shy:Shy"}, files={"zoo_shy.py": SHY})
    assert choose(setup(head="shy"), Processes("auto")) == PrecisionChoice(PLAIN)
    assert not kept()
