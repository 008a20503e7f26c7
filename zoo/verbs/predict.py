"""Predict: a model and pictures -> class names and probabilities."""

from collections.abc import Iterable, Iterator
from glob import glob, has_magic
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zoo.data.decode_ahead import decode_ahead
from zoo.data.sources.naming import IMAGE_SUFFIXES
from zoo.distributed.processes import wants_cpu
from zoo.errors import UsageError
from zoo.models.predictor import ImageClassifier
from zoo.models.pretrained import load

BATCH = 32


def predict(model: str | Path, paths: Iterable[str | Path], top: int = 1) -> Iterator[dict[str, Any]]:
    """One result per picture, in order: `file` and either `classes` (name and probability, best first) or `error`.

    model: what `zoo.load` takes: a run or model folder, `hf-hub:user/name`, or a pretrained backbone.
    top: classes to name; a model of several labels names those that reach their threshold, none included.
    paths: files, folders (searched through) and globs. An unreadable picture is reported and the rest goes on.
    Raises ModelError for the model, UsageError for a path that leads to no picture.
    """
    files = [file for path in paths for file in _pictures(str(path))]
    classifier = load(model)
    classifier.model.to(device())
    return _results(classifier, files, min(top, len(classifier.classes)))


def device() -> torch.device:
    """Where to compute: the GPU where there is one, unless ACCELERATE_USE_CPU asks for the CPU."""
    gpu = None if wants_cpu() else torch.accelerator.current_accelerator(check_available=True)
    return gpu or torch.device("cpu")


def _pictures(path: str) -> list[Path]:
    place = Path(path).expanduser()
    if place.is_dir():
        found = sorted(p for p in place.rglob("*") if _shown_picture(p.relative_to(place)) and p.is_file())
    elif place.exists() or not has_magic(path):
        found = [place] if place.exists() else []
    else:
        found = sorted(Path(p) for p in glob(str(place), recursive=True) if Path(p).is_file())
    if not found:
        raise UsageError(f"no picture at '{path}'. Give files, folders or globs ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return found


def _shown_picture(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not any(part.startswith(".") for part in path.parts)


def _results(classifier: ImageClassifier, files: list[Path], top: int) -> Iterator[dict[str, Any]]:
    batches = decode_ahead(classifier.view, files, BATCH)
    for start, pictures in zip(range(0, len(files), BATCH), batches, strict=True):
        readable = [picture for picture in pictures if isinstance(picture, np.ndarray)]
        answers = iter(_top(classifier, readable, top))
        for file, picture in zip(files[start : start + BATCH], pictures, strict=True):
            answer = {"classes": next(answers)} if isinstance(picture, np.ndarray) else {"error": str(picture)}
            yield {"file": str(file), **answer}


@torch.inference_mode()
def _top(classifier: ImageClassifier, pictures: list[np.ndarray], top: int) -> list[list[dict[str, Any]]]:
    if not pictures:
        return []
    inputs = classifier.normalise(torch.from_numpy(np.stack(pictures)).to(device()))
    task, rule = classifier.task, classifier.rule
    probabilities = task.probabilities(classifier.model(inputs), rule)
    if task.name == "multiclass":
        named = probabilities.topk(top, dim=1).indices.tolist()
    else:
        named = [decision.classes for decision in task.decide(probabilities, rule)]
    return [
        [{"name": classifier.classes[k], "probability": round(row[k], 6)} for k in classes]
        for row, classes in zip(probabilities.tolist(), named, strict=True)
    ]
