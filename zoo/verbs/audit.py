"""Look at a data set as fine-tuning would read it: what is in it, what is wrong with it, how fast it decodes."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import psutil
import torch

from zoo.config.catalog import recipes
from zoo.config.loading import load_recipe, read_data
from zoo.config.recipe import Recipe
from zoo.config.source_ref import SourceRef
from zoo.data.audit import SAMPLE, ImageInfo, duplicates, kinds, look_at, sizes, speed
from zoo.data.dataset import ImageData, load_data
from zoo.data.image_store import EvalTransform, cores
from zoo.errors import UnknownName, nearest
from zoo.models.backbone import build_backbone, native_size
from zoo.reporting import Reporter
from zoo.training.inputs import fits_in_memory, stored_transform
from zoo.training.setup import MEMORY_SHARE

IMBALANCE = 10
"""Training images of the largest class over those of the smallest from which plain accuracy says little."""


def audit(name: str, overrides: Iterable[str] = (), reporter: Reporter | None = None) -> dict[str, Any]:
    """What is to be known of the data of a recipe, or of a source: a folder, a Hub id, `sample:NAME`, `plugin:NAME`.

    A sample of its pictures is decoded. overrides: `key=value` as for a recipe. Raises ZooError as fine-tuning would.
    """
    recipe, reporter = _recipe(name, list(overrides)), reporter or Reporter()
    data = load_data(recipe.data, recipe.train.seed, recipe.task)
    size = recipe.data.image_size or _native_size(recipe)
    view = EvalTransform(size, recipe.data.crop_pct, recipe.model.in_chans)
    train_view = stored_transform(view, recipe.data.augment)
    reporter.start("looking at pictures", min(SAMPLE, sum(map(len, data.splits.values()))))
    looks = look_at(data, train_view, reporter.advance)
    reporter.finish()
    document = {
        "source": recipe.data.source,
        "image_size": size,
        "splits": {kind: {"images": len(split), "from": split.origin} for kind, split in data.splits.items()},
        "classes": _classes(data),
        "imbalance": _imbalance(data),
        "sample": len(looks),
        "sizes": sizes(looks),
        "kinds": kinds(looks),
        "unreadable": {look.name: look.fault for look in looks if look.fault},
        "suspicious": {**{look.name: look.oddity for look in looks if look.oddity}, **duplicates(looks, data.classes)},
        "decoding": _decoding(data, looks, train_view),
        "memory": _memory(recipe, data, view, train_view),
        "warnings": data.warnings,
    }
    return {**document, "advice": _advice(document)}


def _recipe(name: str, overrides: Sequence[str]) -> Recipe:
    """The recipe of that name, else one whose data lie there."""
    known = [r.name for r in recipes()]
    if name in known or name.endswith((".yaml", ".yml")) or name in {f"{r.owner}:{r.name}" for r in recipes()}:
        return load_recipe(name, overrides)
    ref = SourceRef.parse(name)
    if ref.is_hub and ref.hub_id is None and nearest(name, known):
        raise UnknownName("recipe or folder", name, known, "Recipes: zoo list recipes; a folder: ./NAME")
    return read_data([f"data.source={json.dumps(name)}", *overrides])


def _native_size(recipe: Recipe) -> int:
    """The backbone's own; it is built without its weights, and without memory where that can be done."""
    try:
        with torch.device("meta"):
            return native_size(build_backbone(recipe.model, None, weights=False))
    except (RuntimeError, NotImplementedError):
        return native_size(build_backbone(recipe.model, None, weights=False))


def _classes(data: ImageData) -> dict[str, dict[str, int]]:
    """Class -> images in each split."""
    counts = {kind: data.task.counts(split.targets, len(data.classes)) for kind, split in data.splits.items()}
    return {name: {kind: int(counts[kind][k]) for kind in counts} for k, name in enumerate(data.classes)}


def _imbalance(data: ImageData) -> float:
    """Training images of the largest class over those of the smallest that has any."""
    counts = data.task.counts(data.splits["train"].targets, len(data.classes))
    return round(float(counts.max() / counts[counts > 0].min()), 2)


def _decoding(data: ImageData, looks: Sequence[ImageInfo], view: EvalTransform) -> dict[str, Any]:
    """Images a second, and the seconds that all training images take with all cores."""
    train, own = data.splits["train"], [look for look in looks if look.split == "train"]
    one, everyone = speed(train, own, view, 1), speed(train, own, view, cores())
    seconds = round(len(train) / everyone, 1) if everyone else None
    return {"one_thread": round(one, 1), "all_cores": round(everyone, 1), "cores": cores(), "train_seconds": seconds}


def _memory(recipe: Recipe, data: ImageData, view: EvalTransform, train_view: EvalTransform) -> dict[str, Any]:
    """Bytes that decoded training and validation images take, and whether they will be held."""
    sizes = [len(data.splits[k]) * v.nbytes for k, v in (("train", train_view), ("validation", view))]
    held = fits_in_memory(len(data.splits["train"]), train_view, recipe.data)
    return {"bytes": sum(sizes), "free": psutil.virtual_memory().available, "share": MEMORY_SHARE, "held": held}


def _advice(document: dict[str, Any]) -> dict[str, str]:
    """What to do about what was found, by its key."""
    advice = {}
    if document["imbalance"] >= IMBALANCE:
        advice["imbalance"] = "accuracy hides the small classes: train.best_by=macro_f1 counts each class alike"
    if document["unreadable"]:
        advice["unreadable"] = "mend or remove them, or leave those of train out: data.corrupt=skip"
    if document["suspicious"]:
        advice["suspicious"] = "see them all with --json; pictures in two splits make test figures too good"
    if not document["memory"]["held"]:
        advice["memory"] = "a smaller data.image_size decodes faster and may fit; data.in_memory=true holds it whatever"
    return advice
