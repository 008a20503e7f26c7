"""Columns of a data set by role: which one holds the images, which one the labels."""

import re
from collections.abc import Callable
from typing import Any

from datasets import ClassLabel, Dataset, Image, Value

from zoo.errors import DataError, UnknownName

LABEL_NAMES = (("label", "labels", "class", "target"), ("category",))
"""What label columns are called, in lower case; later groups count where no column has a name of an earlier one."""


def image_column(split: Dataset, wanted: str | None) -> str:
    """The column of images: named, or the only one of that type. Raises DataError."""
    images = [name for name, kind in split.features.items() if _is_image(kind)]
    return _choose("image", images, wanted, split, lambda kind: _is_image(kind) or _is_value(kind, "string|binary"))


def label_column(split: Dataset, wanted: str | None) -> str:
    """The column of labels: named, or the only class label, or `label`. Raises DataError."""
    labels = [name for name, kind in split.features.items() if isinstance(kind, ClassLabel)]
    if not labels:
        plain = [name for name, kind in split.features.items() if _is_label(kind)]
        named = ([name for name in plain if name.lower() in names] for names in LABEL_NAMES)
        labels = next(filter(None, named), plain)
    return _choose("label", labels, wanted, split, _is_label)


def _is_image(kind: Any) -> bool:
    return isinstance(kind, Image) or (isinstance(kind, dict) and {"bytes", "path"} <= kind.keys())


def _is_label(kind: Any) -> bool:
    return isinstance(kind, ClassLabel) or _is_value(kind, r"u?int\d+|string|bool")


def _is_value(kind: Any, dtypes: str) -> bool:
    return isinstance(kind, Value) and re.fullmatch(f"(large_)?({dtypes})", kind.dtype) is not None


def _choose(kind: str, candidates: list[str], wanted: str | None, split: Dataset, fits: Callable[[Any], bool]) -> str:
    have = ", ".join(split.column_names)
    if wanted is not None:
        if wanted not in split.features:
            raise UnknownName(f"column in data.{kind}_column", wanted, split.column_names)
        if not fits(split.features[wanted]):
            feature = split.features[wanted]
            found = feature.dtype if isinstance(feature, Value) else type(feature).__name__
            raise DataError(f"data.{kind}_column: '{wanted}' is of type {found}, not {kind}s (columns: {have})")
        return wanted
    if len(candidates) != 1:
        found = "none" if not candidates else " and ".join(candidates)
        raise DataError(
            f"data.{kind}_column: cannot tell which column holds the {kind}s (found {found}; columns: {have}). "
            f"Name it: data.{kind}_column=NAME"
        )
    return candidates[0]
