"""Columns of a data set by role: which holds the images, which the labels, and the numbers of weights and groups."""

import math
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, Image, LargeList, List, Value

from zoo.errors import DataError, UnknownName

LABEL_NAMES = (("label", "labels", "class", "target"), ("category",))
"""What label columns are called, in lower case; later groups count where no column has a name of an earlier one."""


def image_column(split: Dataset, wanted: str | None) -> str:
    """The column of images: named, or the only one of that type. Raises DataError."""
    images = [name for name, kind in split.features.items() if _is_image(kind)]
    return _choose("image", images, wanted, split, lambda kind: _is_image(kind) or _is_value(kind, "string|binary"))


def label_columns(split: Dataset, wanted: str | Sequence[str] | None, taken: Collection[str | None] = ()) -> list[str]:
    """The columns of labels: those named, else the only class label, or list of them, or `label`. Raises DataError.

    taken: columns with another role, which are not found.
    """
    if wanted is not None:
        names = [wanted] if isinstance(wanted, str) else list(wanted)
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise DataError(f"data.label_column: '{twice}' is named twice. Name each column once")
        return [_choose("label", [], name, split, _can_label) for name in names]
    free = {name: kind for name, kind in split.features.items() if name not in taken}
    plain = [name for name, kind in free.items() if _is_label(_item(kind))]
    ways = (
        [name for name, kind in free.items() if isinstance(kind, ClassLabel)],
        [name for name, kind in free.items() if isinstance(_item(kind), ClassLabel)],
        *([name for name in plain if name.lower() in names] for names in LABEL_NAMES),
    )
    return [_choose("label", next(filter(None, ways), plain), None, split, _can_label)]


def weights(split: Dataset, column: str, name: str) -> np.ndarray:
    """Importance of each image, float64 (N,), as it stands in a column of numbers or of text.

    name: of the split in the source. Raises UnknownName, and DataError for what is not a finite number from 0.
    """
    found = np.empty(len(split))
    for row, value in enumerate(_values(split, column, "weight")):
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not 0 <= number < math.inf:
            raise DataError(
                f"data.weight_column: row {row} of the split '{name}' has {value!r} in '{column}', expected a finite "
                f"number from 0. Correct or remove such rows"
            )
        found[row] = number
    return found


def groups(split: Dataset, column: str, name: str) -> np.ndarray:
    """The group of each image as text (N,), of dtype object. Raises UnknownName, and DataError for a row without one."""
    values = _values(split, column, "group")
    if (row := next((i for i, value in enumerate(values) if value in (None, "")), None)) is not None:
        raise DataError(
            f"data.group_column: row {row} of the split '{name}' has no group in '{column}'. Fill it; an image on its own "
            f"is a group of one"
        )
    return np.asarray([str(value) for value in values], dtype=object)


def _values(split: Dataset, column: str, role: str) -> list[Any]:
    if column not in split.column_names:
        raise UnknownName(f"column in data.{role}_column", column, split.column_names)
    return split[column][:]


def _item(kind: Any) -> Any:
    """The feature of a list's items, else the feature itself."""
    return kind.feature if isinstance(kind, List | LargeList) else kind


def _is_image(kind: Any) -> bool:
    return isinstance(kind, Image) or (isinstance(kind, dict) and {"bytes", "path"} <= kind.keys())


def _is_label(kind: Any) -> bool:
    return isinstance(kind, ClassLabel) or _is_value(kind, r"u?int\d+|string|bool")


def _can_label(kind: Any) -> bool:
    """Whether a named column may hold labels; what each task reads of these, it says itself."""
    return _is_label(_item(kind)) or _is_value(_item(kind), r"float\d+|null")


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
