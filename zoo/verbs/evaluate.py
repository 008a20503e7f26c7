"""Evaluate: a model -> metrics of a split, every image once."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from zoo.config.loading import read_data, read_stored_recipe
from zoo.config.recipe import Recipe
from zoo.config.source_ref import SourceRef
from zoo.data.dataset import load_foreign, load_split
from zoo.data.image_store import unreadable
from zoo.data.loader import ImageLoader
from zoo.data.sources.naming import SPLIT_NAMES
from zoo.distributed.processes import Processes
from zoo.errors import UnknownName, UsageError
from zoo.evaluation.evaluation import Evaluation
from zoo.evaluation.inference import predict
from zoo.hub.download import local
from zoo.models.pretrained import backbone_of, load
from zoo.reporting import Reporter
from zoo.storage.run_folder import Run
from zoo.tasks.losses import Loss, loss_without_smoothing
from zoo.tasks.task import Task
from zoo.training.failures import translate_memory_errors
from zoo.training.inputs import decode_split

KEYS = (
    *("source", "options", "config", "revision", "image_column", "label_column", "label_delimiter", "splits"),
    *("limit", "batch_size", "workers", "in_memory", "corrupt"),
)
"""Keys of `data` that may be given; the others are the model's own, or say what it was trained on."""
OF_ANOTHER = tuple(
    f"data.{key}=null"
    for key in (
        *("config", "revision", "image_column", "label_column", "label_delimiter", "weight_column", "group_column"),
        "limit",
    )
)
"""What a run says of its own source, and which is not so of another."""


def evaluate(
    model: str | Path, overrides: Iterable[str] = (), split: str = "test", reporter: Reporter | None = None
) -> dict[str, Any]:
    """Metrics of a model on one split of its run's data, or of `data.source=...`. Raises ZooError.

    model: what `zoo.load` takes: a run or model folder, `hf-hub:user/name`, or a pretrained backbone.
    overrides: `data.*` keys; they start from the run's own recipe, or from nothing for a model without a run.
    Another source is evaluated whole where it has no splits; what the run said of its own columns, splits and limit
    does not hold for it.
    """
    if split not in SPLIT_NAMES:
        raise UnknownName("split", split, SPLIT_NAMES)
    name = model if backbone_of(model) else local(model)
    reporter, classifier, run = reporter or Reporter(), load(name), _run(name)
    recipe, foreign = _recipe(name, run, list(overrides))
    with translate_memory_errors(recipe):
        load_part = load_foreign if foreign else load_split
        part = load_part(recipe.data, recipe.train.seed, classifier.classes, split, classifier.task.name)
        processes = Processes(recipe.train.precision)
        pixels, faults = decode_split(part, classifier.view, recipe, processes, reporter, split)
        network = classifier.model.to(processes.device)
        loader = ImageLoader(
            pixels, part.targets, classifier.normalise, classifier.view.size, processes.device, processes.shard
        )
        reporter.start("evaluating", len(part))
        batch_size = 2 * recipe.data.images_per_batch
        predictions = predict(network, loader, processes, batch_size, reporter.advance, without=faults)
        reporter.finish()
    if faults:
        reporter.warn(f"skipped {unreadable(list(faults.values()), len(part))}")
    evaluation = Evaluation(
        predictions, classifier.task, classifier.classes, _trained_loss(run, classifier.task), classifier.rule
    )
    return {
        **evaluation.document(),
        "split": split,
        "source": recipe.data.source,
        "from": part.origin,
        "classes": list(classifier.classes),
    }


def _run(name: str | Path) -> Run | None:
    """The run that a folder is, or that its model belongs to. name: a folder; text is a backbone's, which has none."""
    if isinstance(name, str):
        return None
    run = Run(name if Run(name).recipe.is_file() else name.parent)
    return run if run.recipe.is_file() else None


def _recipe(name: str | Path, run: Run | None, overrides: list[str]) -> tuple[Recipe, bool]:
    """The recipe to evaluate with, and whether its source is another than the run's. Raises UsageError."""
    for override in overrides:
        section, _, key = override.partition("=")[0].partition(".")
        if section != "data" or key.partition(".")[0] not in KEYS:
            keys = ", ".join(f"data.{k}" for k in KEYS)
            raise UsageError(f"'{override}': evaluate takes other data only ({keys}), as in data.source=PATH")
    if run is None:
        if not any(override.startswith("data.source=") for override in overrides):
            raise UsageError(f"'{name}' is a model without a run; say what to evaluate on: data.source=PATH")
        return read_data(overrides), True
    own, recipe = read_stored_recipe(run.recipe), read_stored_recipe(run.recipe, overrides)
    if SourceRef.recorded(own.data.source).is_same(SourceRef.parse(recipe.data.source)):
        return recipe, False
    return read_stored_recipe(run.recipe, [*OF_ANOTHER, "data.splits={}", *overrides]), True


def _trained_loss(run: Run | None, task: Task) -> Loss | None:
    """The loss that the run trained by; None for a model without a run."""
    return loss_without_smoothing(read_stored_recipe(run.recipe).train, task) if run else None
