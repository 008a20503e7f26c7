"""Which phases are cut, and that a run with features kept is the run without them."""

import signal
from pathlib import Path

import pytest
from processes import done, epochs, step_to_kill_at, stop_at, tiny, weights_hash

from zoo.config.loading import read_recipe
from zoo.distributed.processes import Processes
from zoo.reporting import Reporter
from zoo.storage import feature_cache
from zoo.training.feature_plan import cached_epochs, plan_splits, split_names
from zoo.training.setup import build
from zoo.verbs.finetune import finetune
from zoo.verbs.resume import resume

GRADUAL = ["schedule={name: gradual, epochs_per_group: 2}", "train.epochs=8", "train.precision=fp32"]
STILL = [*GRADUAL, "data.augment={flip: false}"]


OBJECTIONS = {
    "data.augment.mixup=0.2": "mixup and cutmix blend images anew each time",
    "train.compile=true": "a compiled model runs as a whole; train.compile=false keeps its features",
    "train.views=2": "train.views=2 is no less than its 2 epochs",
}
"""What stands against features that a recipe asks to be kept, by the setting that it follows from."""


class Notes(Reporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def planned(folder: Path, *settings: str) -> tuple[list[str | None], list[str]]:
    recipe, notes, processes = read_recipe(tiny(folder), settings), Notes(), Processes("fp32")
    return split_names(plan_splits(build(recipe), processes, notes)), notes.notes


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (STILL, ["pre_logits", "layer3", "layer2", None]),
        ([*STILL, "train.views=4"], ["pre_logits", "layer3", "layer2", None]),
        ([*STILL, "data.augment.mixup=0.2"], ["pre_logits", None, None, None]),
        ([*STILL, "train.compile=true"], ["pre_logits", None, None, None]),
        ([*STILL, "train.cache_features=false"], [None] * 4),
        (GRADUAL, ["pre_logits", None, None, None]),
        ([*GRADUAL, "train.views=1"], ["pre_logits", "layer3", "layer2", None]),
        ([*GRADUAL, "train.views=2"], ["pre_logits", None, None, None]),  # every epoch has its own view all the same
        ([*STILL, "model.head=attention"], ["forward_features", "backbone.layer3", "backbone.layer2", None]),
        ([*STILL, "schedule=none"], [None]),
    ],
    ids=lambda value: (
        None if isinstance(value[0], str | None) and "=" not in str(value[0]) else "-".join(value[len(GRADUAL) :])
    ),
)
def test_where_phases_are_cut(settings, expected, tmp_path):
    why = next((reason for setting, reason in OBJECTIONS.items() if setting in settings), None)
    notes = [f"phase {number}: what is frozen runs in every epoch, since {why}" for number in (2, 3) if why]
    assert planned(tmp_path, *settings) == (expected, notes)


def test_a_model_that_cannot_be_cut_says_so(tmp_path):
    found, notes = planned(tmp_path, *STILL, "model.concat=[test_efficientnet]", "model.head=mlp")
    assert found == ["forward_features", None, None, None]
    text = "what is frozen runs in every epoch, since no single tensor crosses between it and the rest of a Classifier"
    assert notes == [f"phase {number}: {text}" for number in (2, 3)]


def test_features_that_fit_nowhere_say_so(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE_GB", "0")
    monkeypatch.setattr("zoo.training.feature_plan.MEMORY_SHARE", 0.0)
    found, notes = planned(tmp_path, *STILL)
    assert found == [None] * 4 and len(notes) == 3
    assert notes[0] == (
        "phase 1: what is frozen runs in every epoch, since its features would take 0.0 GB, more than cache "
        "(ZOO_CACHE_GB) and memory have"
    )


def test_views_of_a_phase(tmp_path):
    recipe = read_recipe(tiny(tmp_path), [*GRADUAL, "train.views=3"])
    phase = build(recipe).phases[-1]
    assert phase.epochs == 2 and cached_epochs(phase, recipe, 6) == range(6, 8)
    assert cached_epochs(phase, read_recipe(tiny(tmp_path), GRADUAL), 6) == range(6, 7)
    assert cached_epochs(phase, read_recipe(tiny(tmp_path), [*STILL, "train.views=3"]), 6) == range(6, 7)


def losses(run: Path) -> list[float]:
    return [value for line in epochs(run) for value in (line["train_loss"], line["validation"]["loss"])]


def test_a_run_with_features_kept_is_the_run_without(tmp_path):
    recipe, settings = str(tiny(tmp_path)), [*STILL, "train.ema=0.9"]
    finetune(recipe, settings, tmp_path / "kept")
    assert len(feature_cache.entries()) >= 6
    finetune(recipe, settings, tmp_path / "again")
    finetune(recipe, [*settings, "train.cache_features=false"], tmp_path / "every")
    assert weights_hash(tmp_path / "again") == weights_hash(tmp_path / "kept")
    assert losses(tmp_path / "kept") == pytest.approx(losses(tmp_path / "every"), abs=1e-3)


def test_as_many_views_as_epochs_are_the_augmentation_itself(tmp_path):
    head = ["schedule=linear-probe", "train.epochs=3", "train.precision=fp32", "model.head.dropout=0"]
    finetune(str(tiny(tmp_path)), [*head, "train.views=3"], tmp_path / "kept")
    finetune(str(tiny(tmp_path)), [*head, "train.cache_features=false"], tmp_path / "every")
    assert losses(tmp_path / "kept") == pytest.approx(losses(tmp_path / "every"), abs=1e-3)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_run_over_kept_features_goes_on_bit_for_bit(processes, tmp_path):
    settings = [*GRADUAL, "train.views=1", "train.checkpoint_s=0"]
    common = ["finetune", "--recipe", tiny(tmp_path), *settings, "--processes", processes]
    if processes == 1:
        finetune(str(tiny(tmp_path)), settings, tmp_path / "unbroken")
    else:
        done(*common, "--out", tmp_path / "unbroken")
    step = step_to_kill_at(2, 25)
    stop_at(tmp_path / "run", step, signal.SIGKILL, *common, "--out", tmp_path / "run")
    feature_cache.clear()
    if processes == 1:
        resume(tmp_path / "run")
    else:
        done("resume", tmp_path / "run")
    assert weights_hash(tmp_path / "run") == weights_hash(tmp_path / "unbroken")
