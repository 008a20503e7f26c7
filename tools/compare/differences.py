"""What differs between two run folders of one recipe: weights, metrics, the recipe as it was run."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from compare.renamed import KEYS, METRICS, old_name
from safetensors.numpy import load_file

MEASURED = ("accuracy", "top5", "macro_f1", "macro_precision", "balanced_accuracy", "auroc", "log_loss")
"""Metrics by their newest names."""
TOLERANCE = 1.5e-6
"""Largest difference of two metrics that counts as none: one unit of the sixth decimal, to which they are stored."""
ABSENT = "absent"


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same; `what` is `weights`, `metric`, `recipe` or `run`."""

    what: str
    name: str
    before: str
    after: str


def compare_runs(before: Path, after: Path) -> list[Difference]:
    """All differences of two finished run folders."""
    return [
        *weights(before / "model" / "model.safetensors", after / "model" / "model.safetensors"),
        *metrics(_json(before / "metrics.json"), _json(after / "metrics.json")),
        *recipe(flat_recipe(before / "recipe.yaml"), flat_recipe(after / "recipe.yaml")),
    ]


def weights(before: Path, after: Path) -> Iterator[Difference]:
    """Tensors of two safetensors files that are missing, or whose type, shape or bytes differ."""
    old, new = load_file(before), load_file(after)
    for name in sorted(old.keys() | new.keys()):
        if name not in old or name not in new:
            yield Difference("weights", name, *(_kind(side[name]) if name in side else ABSENT for side in (old, new)))
        elif _kind(old[name]) != _kind(new[name]):
            yield Difference("weights", name, _kind(old[name]), _kind(new[name]))
        elif old[name].tobytes() != new[name].tobytes():
            yield Difference(
                "weights", name, _kind(old[name]), f"differs by at most {_apart(old[name], new[name]):.3g}"
            )


def _kind(tensor: np.ndarray) -> str:
    return f"{tensor.dtype} {tensor.shape}"


def _apart(old: np.ndarray, new: np.ndarray) -> float:
    return float(np.abs(old.astype(np.float64) - new.astype(np.float64)).max())


def metrics(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Difference]:
    """Figures of two `metrics.json` that differ: how long was trained, the test's metrics and the validation's."""
    for name in ("epochs", "best_epoch"):
        yield from _figure(name, before.get(name), after.get(name))
    for name in MEASURED:
        yield from _figure(name, _metric(before, name), _metric(after, name))
        old, new = (_metric(document.get("validation", {}), name) for document in (before, after))
        yield from _figure(f"validation.{name}", old, new)


def _metric(document: dict[str, Any], name: str) -> float | None:
    """A metric by its newest name, whichever name it stands under."""
    return document.get(name, document.get(old_name(name, METRICS)))


def _figure(name: str, old: float | None, new: float | None) -> Iterator[Difference]:
    same = old == new if None in (old, new) else math.isclose(old, new, rel_tol=0, abs_tol=TOLERANCE)
    if not same:
        yield Difference("metric", name, *(ABSENT if value is None else repr(value) for value in (old, new)))


def recipe(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Difference]:
    """Keys of two flat recipes that are gone or have another value; those that only `after` has are `new_keys`."""
    for key, value in before.items():
        if key not in after or after[key] != value:
            yield Difference("recipe", key, repr(value), repr(after[key]) if key in after else ABSENT)


def new_keys(before: Path, after: Path) -> dict[str, Any]:
    """Recipe keys that only the later of two run folders has, with their values."""
    known = flat_recipe(before / "recipe.yaml")
    return {k: v for k, v in flat_recipe(after / "recipe.yaml").items() if k not in known}


def flat_recipe(path: Path) -> dict[str, Any]:
    """A recipe as dotted keys by their newest names -> values."""
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {KEYS.get(key, key): value for key, value in _flat(tree)}


def _flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
