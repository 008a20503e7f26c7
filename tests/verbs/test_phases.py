"""Phases in real runs: kinds of parameters move alone, and patience ends a phase, however often the run is killed."""

import json
import signal
from pathlib import Path

import pytest
import torch
from processes import epochs, here, step_to_kill_at, stop_at, tiny, weights_hash
from safetensors.torch import load_file
from torch import nn

from zoo.config.loading import read_recipe
from zoo.contracts import HEAD
from zoo.reporting import Reporter
from zoo.training import checkpoint
from zoo.training.setup import build
from zoo.verbs.finetune import finetune, plan
from zoo.verbs.resume import resume

ALIVE = "model.options.zero_init_last=false"
"""Otherwise the last norm of each block of a new model is 0, and no gradient comes past it."""
KINDS = {
    "norm-only": (["schedule=norm-only"], {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}, ""),
    "norm-only, statistics fixed": (["schedule=norm-only", "train.freeze_bn_stats=true"], {"weight", "bias"}, ""),
    "bias-only": (["schedule=bias-only"], {"bias"}, ""),
    "surgical": (["schedule=surgical", "schedule.only=stage2"], None, "layer2."),
}


@pytest.mark.parametrize(("overrides", "of_norms", "prefix"), KINDS.values(), ids=KINDS)
def test_only_what_the_schedule_chose_moves(overrides, of_norms, prefix, tmp_path: Path) -> None:
    settings = ["train.epochs=2", "data.limit=40", ALIVE, *overrides]
    before = build(read_recipe(tiny(tmp_path), settings))
    finetune(str(tmp_path / "tiny.yaml"), settings, out=tmp_path / "run")
    now = load_file(tmp_path / "run" / "model" / "model.safetensors")
    state = before.model.state_dict()
    changed = {name for name, tensor in state.items() if not torch.equal(tensor, now[name])}
    norms = {name for name, module in before.model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    allowed = {
        n for n in state if of_norms is None or (n.rpartition(".")[0] in norms and n.rpartition(".")[2] in of_norms)
    }
    assert changed == {n for n in allowed if n.startswith(prefix)} | set(before.groups[HEAD])


def test_a_dry_run_counts_what_trains(tmp_path: Path) -> None:
    document = plan(read_recipe(tiny(tmp_path), ["schedule=bias-only", "data.limit=40"]), Reporter())
    (phase,) = document["phases"]
    assert phase["trains"] == list(document["groups"])
    assert 970 < phase["parameters"] < document["parameters"] / 100 and not phase["cached_features"]


def test_freeze_out_runs_one_phase_an_epoch_at_constant_rates(tmp_path: Path) -> None:
    settings = ["schedule=freeze-out", "data.limit=40", "optim.warmup_epochs=0", "train.epochs=4"]
    finetune(str(tiny(tmp_path)), settings, out=tmp_path / "run")
    lines = epochs(tmp_path / "run")
    assert [line["phase"] for line in lines] == [1, 2, 3, 4]
    assert [line["lr"] / 3e-3 for line in lines] == pytest.approx([0.9619, 0.6913, 0.3087, 0.0381], abs=1e-4)


PATIENT = [
    "schedule=lp-ft", "schedule.head_epochs=12", "schedule.patience=1", "schedule.lr_scale=0.5", "train.epochs=14",
    "train.ema=0.9",
]  # fmt: skip
"""At most 12 epochs of the head, 5 steps each; then 2 of everything."""


def head_epochs(run: Path) -> int:
    return sum(line["phase"] == 1 for line in epochs(run))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing ended, which keeps its checkpoints between phases."""
    folder = tmp_path_factory.mktemp("patient")
    finetune(str(tiny(folder)), [*PATIENT, "train.checkpoint_s=1e6"], out=folder / "run")
    return folder / "run"


def test_patience_ends_a_phase_and_the_next_one_starts_from_the_best_weights(unbroken: Path) -> None:
    lines, ended = epochs(unbroken), head_epochs(unbroken)
    assert 2 <= ended < 12 and [line["phase"] for line in lines] == [1] * ended + [2, 2]
    assert [line["best"] for line in lines[:ended]] == [True] * (ended - 1) + [False]
    tensors, state = checkpoint.load(unbroken / "checkpoints" / f"step-{5 * ended:08d}")
    assert state["progress"]["phase"] == 1 and state["progress"]["best_epoch"] == ended - 1
    assert tensors["model"].keys() == tensors["best"].keys()
    assert all(torch.equal(tensor, tensors["best"][name]) for name, tensor in tensors["model"].items())


@pytest.mark.parametrize("where", ["impatient epoch", "end of the phase", "next phase"])
def test_a_killed_run_ends_its_phase_at_the_same_epoch(where: str, unbroken: Path, tmp_path: Path) -> None:
    end = 5 * head_epochs(unbroken)
    steps = {"impatient epoch": (end - 4, end - 1), "end of the phase": (end, end), "next phase": (end + 1, end + 9)}
    step = step_to_kill_at(*steps[where])
    stop_at(
        tmp_path / "run",
        step,
        signal.SIGKILL,
        "finetune",
        "--recipe",
        tiny(tmp_path),
        "--out",
        tmp_path / "run",
        *PATIENT,
    )
    assert not (tmp_path / "run" / "metrics.json").exists()
    resume(tmp_path / "run")
    assert weights_hash(tmp_path / "run") == weights_hash(unbroken)
    assert epochs(tmp_path / "run") == epochs(unbroken)


def test_the_screen_says_that_a_phase_ended_early(tmp_path: Path) -> None:
    settings = [
        "schedule=plateau",
        "train.epochs=5",
        "optim.lr=1e-12",
        "optim.warmup_epochs=0",
        "data.limit=40",
        "--json",
    ]
    result = here("finetune", "--recipe", tiny(tmp_path), "--out", tmp_path / "run", *settings)
    ended = "phase 1 ends after epoch 2 with the weights of epoch 1: no better accuracy since"
    assert ended in result.stderr.splitlines()
    assert json.loads(result.stdout)["epochs"] == 4
