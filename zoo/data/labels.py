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
            raise DataError(
                f"data.label_column: '{column}' has rows without a label. "
                f"Remove them, or name another column: data.label_column=NAME"
            )
        names = tuple(str(v) for v in sorted(values))
    if len(names) < 2:
        raise _too_few(names)
    return names


def class_indices(split: Dataset, column: str, names: Sequence[str], split_name: str, kind: str) -> np.ndarray:
    """Labels of a split as indices into `names`, int64 (N,). Raises DataError for labels that train does not have.

    kind: what the split serves as: train, validation or test.
    """
    feature, values = split.features[column], split[column][:]
    if isinstance(feature, ClassLabel):
        labels = np.asarray([-1 if v is None else v for v in values], dtype=np.int64)
        bad = np.flatnonzero((labels < 0) | (labels >= len(feature.names)))
        if bad.size:
            if (labels == -1).all():
                raise DataError(f"the split '{split_name}' has no labels. Name another: data.splits.{kind}=NAME")
            raise DataError(
                f"row {bad[0]} of the split '{split_name}' has label {values[int(bad[0])]}, "
                f"but the {len(feature.names)} classes are numbered 0 to {len(feature.names) - 1}. "
                f"Correct or remove such rows ({bad.size} of {len(labels)})"
            )
        own = feature.names
    else:
        own = sorted({str(v) for v in values})
        position = {name: i for i, name in enumerate(own)}
        labels = np.asarray([position[str(v)] for v in values], dtype=np.int64)
    where = {name: i for i, name in enumerate(names)}
    used = {own[i] for i in np.unique(labels)}
    if strange := sorted(used - where.keys()):
        raise DataError(
            f"the split '{split_name}' has the class '{strange[0]}', which the training split does not have "
            f"({_few(names)}). Rename or remove it, or name another split: data.splits.{kind}=NAME"
        )
    return np.asarray([where.get(name, -1) for name in own], dtype=np.int64)[labels]


def unlabelled(split: Dataset, column: str) -> bool:
    """Whether no row of the split has a label, as in test splits of competitions."""
    blank = (None, -1) if isinstance(split.features.get(column), ClassLabel) else (None,)
    return column in split.features and all(value in blank for value in split.unique(column))


def check_train(labels: np.ndarray, names: Sequence[str]) -> None:
    """Every class must have training images. Raises DataError naming those without."""
    empty = absent(labels, names)
    if len(names) - len(empty) < 2:
        raise _too_few([name for name in names if name not in empty])
    if empty:
        raise DataError(
            f"the training split has no image of {_few(empty)} ({len(empty)} of {len(names)} classes). "
            f"Add some, or take the class out of the data set's class list"
        )


def check_splitting_off(labels: np.ndarray, names: Sequence[str], kinds: Sequence[str]) -> None:
    """Every class must have a training image and one for each split in `kinds`, which are taken from train."""
    counts = np.bincount(labels, minlength=len(names))
    fewest = int(counts.argmin())
    if counts[fewest] <= len(kinds):
        splits = " ".join(f"data.splits.{kind}=NAME" for kind in kinds)
        raise DataError(
            f"the class '{names[fewest]}' needs at least {1 + len(kinds)} training images and has {counts[fewest]}, "
            f"as train also gives {' and '.join(kinds)}. Add images, or name splits: {splits}"
        )


def absent(labels: np.ndarray, names: Sequence[str]) -> list[str]:
    """Classes of which a split has no image."""
    return [names[i] for i in np.flatnonzero(np.bincount(labels, minlength=len(names)) == 0)]


def _too_few(names: Sequence[str]) -> DataError:
    return DataError(
        f"a classifier needs at least two classes, the training split has {_few(names) or 'none'}. "
        f"Add images of another, or name the right column: data.label_column=NAME"
    )


def _few(names: Sequence[str]) -> str:
    quoted = ", ".join(f"'{n}'" for n in names[:5])
    return quoted + (f" and {len(names) - 5} more" if len(names) > 5 else "")
