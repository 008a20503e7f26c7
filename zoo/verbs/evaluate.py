"""Evaluate: a run or model folder -> metrics of a split, every image once."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from zoo.data.dataset import load_split
from zoo.data.loader import ImageLoader
from zoo.errors import UsageError
from zoo.loading import read_data, read_recipe
from zoo.models.folder import load
from zoo.recipe import Recipe
from zoo.reporting import Reporter
from zoo.run import Run
from zoo.training.metrics import report
from zoo.training.team import Team
from zoo.verbs.finetune import decoded, explained_memory


def evaluate(
    folder: str | Path, overrides: Iterable[str] = (), split: str = "test", reporter: Reporter | None = None
) -> dict[str, Any]:
    """Metrics of the model in a run or model folder on one split of its data, or of `data.source=...`. Raises ZooError.

    overrides: `data.*` keys; they start from the run's own recipe, or from nothing for a bare model folder.
    """
    reporter, classifier = reporter or Reporter(), load(folder)
    recipe = _recipe(Path(folder), list(overrides))
    with explained_memory(recipe):
        part = load_split(recipe.data, recipe.train.seed, classifier.classes, split)
        team = Team(recipe.train.precision)
        pixels, _ = decoded(part, classifier.view, recipe, team, reporter, split)
        model = classifier.model.to(team.device)
        loader = ImageLoader(pixels, part.labels, classifier.normalise, classifier.view.size, team.device, team.shard)
        reporter.start("evaluating", len(part))
        logits = team.apply(model, loader, len(part), 2 * recipe.data.batch_size, reporter.advance)
        reporter.finish()
    metrics = report(logits, torch.from_numpy(part.labels), classifier.classes)
    return {
        **metrics,
        "split": split,
        "source": recipe.data.source,
        "from": part.origin,
        "classes": list(classifier.classes),
    }


def _recipe(folder: Path, overrides: list[str]) -> Recipe:
    if wrong := [o for o in overrides if not o.startswith("data.")]:
        raise UsageError(f"'{wrong[0]}': evaluate takes data.* keys only, as in data.source=PATH")
    run = Run(folder if Run(folder).recipe.is_file() else folder.parent)
    if run.recipe.is_file():
        return read_recipe(run.recipe, overrides)
    if not any(o.startswith("data.source=") for o in overrides):
        raise UsageError(f"'{folder}' is a model folder without a run; say what to evaluate on: data.source=PATH")
    return read_data(overrides)
