"""Where labels are and which task they make: one label column or several, lists, and cells that hold several labels."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset, Value

from zoo.errors import DataError
from zoo.tasks.task import Task, find_task

DELIMITERS = (";", "|", ",")
"""What is looked for in a column of text before it is taken for one class in each cell."""
SUSPICIOUS = 0.2
"""Share of cells with a delimiter from which on the user is asked what they mean."""


@dataclass(frozen=True)
class Labels:
    """The label columns of a data set, and what separates several labels in a cell of text; None is one label a cell."""

    columns: tuple[str, ...]
    delimiter: str | None = None

    @property
    def column(self) -> str:
        """The only column, or the first."""
        return self.columns[0]

    @classmethod
    def of(cls, columns: str | Sequence[str], delimiter: str | None = None) -> "Labels":
        """One column by its name, or several by a list of names."""
        return cls((columns,) if isinstance(columns, str) else tuple(columns), delimiter)


def items_of(feature: Any) -> Any | None:
    """The feature of the items of a list column, None for a column of single values."""
    if isinstance(feature, list):
        return feature[0]
    return feature.feature if type(feature).__name__ in ("List", "LargeList", "Sequence") else None


def is_text(feature: Any) -> bool:
    """Whether a column holds strings."""
    return isinstance(feature, Value) and feature.dtype in ("string", "large_string")


def has_unknown(targets: np.ndarray) -> bool:
    """Whether some labels of a split are unknown (NaN)."""
    return bool(np.isnan(targets).any()) if targets.dtype.kind == "f" else False


def choose_task(wanted: str, train: Dataset, how: Labels) -> Task:
    """The recipe's `task`, found from the label column where it is `auto`. Raises DataError."""
    feature = train.features[how.column]
    if wanted == "auto":
        lists = len(how.columns) > 1 or items_of(feature) is not None or how.delimiter is not None
        if not lists and is_text(feature):
            _ask(train, how.column)
        wanted = "multilabel" if lists else "multiclass"
    task = find_task(wanted)
    if len(how.columns) > 1 and wanted == "multiclass":
        raise DataError(
            f"task=multiclass reads one label column, and data.label_column names {len(how.columns)}. "
            f"Name one, or take task=multilabel"
        )
    if how.delimiter is not None and (wanted == "multiclass" or not is_text(feature)):
        why = "task=multiclass reads one label a cell" if wanted == "multiclass" else "its cells hold no text"
        raise DataError(f"data.label_delimiter: '{how.column}' is not split, {why}. Leave out data.label_delimiter")
    for column in how.columns:
        if not task.reads(train.features[column]):
            raise DataError(
                f"data.label_column: '{column}' holds {_shown(train.features[column])}, which task={task.name} does not "
                f"read. Name another column, or another task: multiclass, multilabel"
            )
    return task


def _ask(train: Dataset, column: str) -> None:
    """Raises DataError where cells look as if they held several labels."""
    cells = Counter(cell for cell in train[column] if cell)
    for delimiter in DELIMITERS:
        several = {cell: n for cell, n in cells.items() if delimiter in cell}
        parts = Counter(part.strip() for cell in cells for part in cell.split(delimiter))
        if sum(several.values()) >= SUSPICIOUS * max(1, cells.total()) and max(parts.values(), default=0) > 1:
            raise DataError(
                f"data.label_column: '{column}' may hold several labels a cell, as in {next(iter(several))!r}. "
                f"Say what they are: data.label_delimiter='{delimiter}' for several labels, task=multiclass for one class"
            )


def check_known(used: set[str], classes: Sequence[str], name: str, kind: str) -> None:
    """Raises DataError where a split uses a class that the training split does not have."""
    if strange := sorted(used - set(classes)):
        raise DataError(
            f"the split '{name}' has the class '{strange[0]}', which the training split does not have "
            f"({few(classes)}). Rename or remove it, or name another split: data.splits.{kind}=NAME"
        )


def few(names: Sequence[str]) -> str:
    """The first names, quoted, and how many more there are."""
    quoted = ", ".join(f"'{n}'" for n in names[:5])
    return quoted + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _shown(feature: Any) -> str:
    inner = items_of(feature)
    if inner is not None:
        return f"lists of {_shown(inner)}"
    return f"{feature.dtype} values" if isinstance(feature, Value) else f"{type(feature).__name__} values"
