"""The class list: fixed from the training split once, checked on every split, carried into the model."""

from collections.abc import Sequence

import numpy as np
from datasets import ClassLabel, Dataset

from zoo.errors import DataError


def class_names(train: Dataset, column: str) -> tuple[str, ...]:
    """Names of the classes, in the order of their numbers. Raises DataError where there are fewer than two."""
    kind = train.features[column]
    if isinstance(kind, ClassLabel):
        names = tuple(kind.names)
    else:
        values = set(train[column])
        if None in values:
            raise DataError(f"data.label_column: '{column}' has rows without a label. Remove them or name another column")
        names = tuple(str(v) for v in sorted(values))
    if len(names) < 2:
        found = f"only '{names[0]}'" if names else "none"
        raise DataError(f"a classifier needs at least two classes, the training split has {found}")
    return names


def class_indices(split: Dataset, column: str, names: Sequence[str], split_name: str) -> np.ndarray:
    """Labels of a split as indices into `names`, int64 (N,). Raises DataError for labels that train does not have."""
    kind, values = split.features[column], split[column]
    if isinstance(kind, ClassLabel):
        labels = np.asarray([-1 if v is None else v for v in values], dtype=np.int64)
        bad = np.flatnonzero((labels < 0) | (labels >= len(kind.names)))
        if bad.size:
            raise DataError(
                f"row {bad[0]} of the split '{split_name}' has label {values[int(bad[0])]}, but the {len(kind.names)} classes "
                f"are numbered 0 to {len(kind.names) - 1}{_unlabelled(labels, split_name)}"
            )
        own = kind.names
    else:
        own = sorted({str(v) for v in values})
        position = {name: i for i, name in enumerate(own)}
        labels = np.asarray([position[str(v)] for v in values], dtype=np.int64)
    where = {name: i for i, name in enumerate(names)}
    used = {own[i] for i in np.unique(labels)}
    if strange := sorted(used - where.keys()):
        raise DataError(f"the split '{split_name}' has the class '{strange[0]}', which the training split does not have ({_few(names)})")
    return np.asarray([where.get(name, -1) for name in own], dtype=np.int64)[labels]


def check_train(labels: np.ndarray, names: Sequence[str]) -> None:
    """Every class must have training images. Raises DataError naming those without."""
    counts = np.bincount(labels, minlength=len(names))
    empty = [names[i] for i in np.flatnonzero(counts == 0)]
    if len(names) - len(empty) < 2:
        raise DataError(f"a classifier needs at least two classes, the training split has images of {len(names) - len(empty)}")
    if empty:
        raise DataError(
            f"the training split has no image of {_few(empty)} ({len(empty)} of {len(names)} classes). "
            f"Add some, or take the class out of the data set's class list"
        )


def absent(labels: np.ndarray, names: Sequence[str]) -> list[str]:
    """Classes of which a split has no image."""
    return [names[i] for i in np.flatnonzero(np.bincount(labels, minlength=len(names)) == 0)]


def _unlabelled(labels: np.ndarray, split_name: str) -> str:
    if (labels == -1).all():
        return f". The whole split is unlabelled: leave it out by naming another, data.splits.{split_name}=NAME"
    return ""


def _few(names: Sequence[str]) -> str:
    quoted = ", ".join(f"'{n}'" for n in names[:5])
    return quoted + (f" and {len(names) - 5} more" if len(names) > 5 else "")
