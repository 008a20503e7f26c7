"""Fine-tune: a classifier of a recipe's labels, tested at the end."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from zoo.config.recipe import Recipe
from zoo.data.loader import ImageLoader
from zoo.distributed.processes import Processes
from zoo.errors import UsageError
from zoo.evaluation.evaluation import Evaluation
from zoo.evaluation.inference import predict
from zoo.models.saved import save_model
from zoo.publishing.card import model_card
from zoo.reporting import Reporter
from zoo.storage.run_folder import Run
from zoo.tasks.losses import initial_rule, loss_without_smoothing
from zoo.training.inputs import decode_split, make_learner
from zoo.training.learner import classifies
from zoo.training.setup import Setup, build
from zoo.training.state import Progress
from zoo.verbs.training_run import RunKind, plan_run, start


def finetune(
    recipe: str | Recipe, overrides: Iterable[str] = (), out: str | Path | None = None, reporter: Reporter | None = None
) -> dict[str, Any]:
    """Train a recipe (a name, a YAML path or a Recipe) into the run folder `out` and return its test metrics.

    overrides: `key=value` strings as on the command line. Raises ZooError; a stopped run can be resumed.
    """
    return start(FINETUNE, recipe, overrides, out, reporter)


def plan(recipe: Recipe, reporter: Reporter) -> dict[str, Any]:
    """What `finetune` would do: phases, sizes, memory and time. Writes nothing. Raises ZooError."""
    return plan_run(FINETUNE, recipe, reporter)


def _build(recipe: Recipe) -> Setup:
    """The parts of a recipe. Raises UsageError for a method that trains no classifier."""
    setup = build(recipe)
    if not classifies(recipe.method, lambda: make_learner(setup, torch.device("cpu"))):
        raise UsageError(
            f"method: '{recipe.method.name}' trains no classifier; zoo pretrain takes it. "
            f"zoo finetune takes a method that learns labels, see zoo list methods"
        )
    return setup


def _publish(run: Run, setup: Setup, result: dict[str, Any], facts: dict[str, Any]) -> None:
    def card(config: Mapping[str, Any]) -> str:
        return model_card(config, setup.recipe, result, facts)

    task, rule = setup.data.task.name, initial_rule(setup.recipe.train, setup.data.task)
    classes, transform, normalise = setup.data.classes, setup.transform, setup.normalise
    save_model(run.model, setup.model, setup.recipe, classes, transform, normalise, card, task, rule)


def _measure(setup: Setup, progress: Progress, processes: Processes, reporter: Reporter) -> dict[str, Any]:
    """Metrics of the best weights on the test split."""
    split = setup.data.splits["test"]
    pixels, _ = decode_split(split, setup.transform, setup.recipe, processes, reporter, "test")
    loader = ImageLoader(
        pixels, split.targets, setup.normalise, setup.transform.size, processes.device, processes.shard
    )
    reporter.start("testing", len(split))
    predictions = predict(setup.model, loader, processes, 2 * setup.recipe.data.batch_size, reporter.advance)
    reporter.finish()
    task, train = setup.data.task, setup.recipe.train
    loss, rule = loss_without_smoothing(train, task), initial_rule(train, task)
    document = Evaluation(predictions, task, setup.data.classes, loss, rule).document()
    return {**document, "split": "test", "classes": list(setup.data.classes)}


FINETUNE = RunKind("finetune", _build, _measure, _publish, "see its result: zoo evaluate {run}")
