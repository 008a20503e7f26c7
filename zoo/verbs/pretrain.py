"""Pretrain: a backbone on images without labels, saved in timm's layout without classifier."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from zoo.config.recipe import Recipe
from zoo.distributed.processes import Processes
from zoo.models.saved_backbone import save_backbone
from zoo.reporting import Reporter
from zoo.storage.run_folder import Run
from zoo.training.pretraining import build_pretraining
from zoo.training.setup import Setup
from zoo.training.state import Progress
from zoo.verbs.training_run import RunKind, plan_run, start


def pretrain(
    recipe: str | Recipe, overrides: Iterable[str] = (), out: str | Path | None = None, reporter: Reporter | None = None
) -> dict[str, Any]:
    """Train a recipe's backbone by a method that reads no labels, into the run folder `out`; its validation loss.

    `out/model` is then a backbone for `model.backbone=local-dir:out/model`. overrides: `key=value` strings as on the
    command line. Raises ZooError; a stopped run can be resumed.
    """
    return start(PRETRAIN, recipe, overrides, out, reporter)


def plan(recipe: Recipe, reporter: Reporter) -> dict[str, Any]:
    """What `pretrain` would do: phases, sizes, memory and time. Writes nothing. Raises ZooError."""
    return plan_run(PRETRAIN, recipe, reporter)


def _measure(setup: Setup, progress: Progress, processes: Processes, reporter: Reporter) -> dict[str, Any]:
    """What validation found of the weights that are kept."""
    return {**progress.best_metrics, "split": "validation", "images": len(setup.data.splits["validation"])}


def _publish(run: Run, setup: Setup, result: dict[str, Any], facts: dict[str, Any]) -> None:
    save_backbone(run.model, setup.model, setup.transform, setup.normalise)


ONWARD = "train a classifier on it: zoo finetune --recipe NAME model.backbone=local-dir:{run}/model"
PRETRAIN = RunKind("pretrain", build_pretraining, _measure, _publish, ONWARD)
