"""Any number of labels for each image: rows of 0 and 1 as targets, a sigmoid for each label, thresholds."""

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from datasets import ClassLabel, Dataset, Value
from torch import Tensor

from zoo.errors import DataError
from zoo.tasks.rule import THRESHOLD, Rule
from zoo.tasks.targets import Labels, check_known, few, is_text, items_of
from zoo.tasks.task import Decision

YES, NO, UNKNOWN = {"1", "true"}, {"0", "false"}, {"", "-1", "none", "nan"}
"""What cells of a column that is one label may say, in lower case."""


class Multilabel:
    """Every image has any number of labels, none included. Targets: float32 (N, K) of 0, 1 and NaN (unknown)."""

    name = "multilabel"
    losses = ("bce",)
    headline = "map"
    activation = "sigmoid"

    def reads(self, feature: Any) -> bool:
        kind = items_of(feature) or feature
        return isinstance(kind, ClassLabel) or (
            isinstance(kind, Value)
            and re.fullmatch(r"(large_)?(u?int\d+|float\d+|string|bool|null)", kind.dtype) is not None
        )

    def classes(self, train: Dataset, how: Labels) -> tuple[str, ...]:
        """Column names, else the names of a class-label feature, else the sorted labels. Raises DataError for none."""
        names = self.own_classes(train, how)
        if not names:
            raise DataError(
                f"data.label_column: no image of the training split has a label in '{how.column}'. "
                f"Name another column: data.label_column=NAME"
            )
        return names

    def own_classes(self, split: Dataset, how: Labels) -> tuple[str, ...]:
        if len(how.columns) > 1:
            return how.columns
        feature = split.features[how.column]
        kind = items_of(feature) or feature
        if isinstance(kind, ClassLabel):
            return tuple(kind.names)
        return tuple(str(v) for v in sorted(set(chain.from_iterable(row or () for row in _rows(split, how)))))

    def encode(self, split: Dataset, how: Labels, classes: Sequence[str], name: str, kind: str) -> np.ndarray:
        """float32 (N, K): 1 for the labels that a row lists and 0 for the others; NaN where nothing is said.

        A row of the value null is unknown throughout, an empty list has none of the labels. Raises DataError for labels
        that `classes` does not have.
        """
        if len(how.columns) > 1:
            check_known(set(how.columns), classes, name, kind)
            given = {column: _flags(split, column, name) for column in how.columns}
            unknown = np.full(len(split), np.nan, np.float32)
            return np.stack([given.get(label, unknown) for label in classes], axis=1)
        rows, own = _rows(split, how), self._names(split, how, name)
        if rows and all(row is None for row in rows):
            raise DataError(f"the split '{name}' has no labels. Name another: data.splits.{kind}=NAME")
        check_known({own(v) for v in set(chain.from_iterable(row or () for row in rows))}, classes, name, kind)
        where = {label: k for k, label in enumerate(classes)}
        targets = np.zeros((len(rows), len(classes)), np.float32)
        for target, row in zip(targets, rows, strict=True):
            target[...] = np.nan if row is None else 0.0
            target[[where[own(value)] for value in row or ()]] = 1.0
        return targets

    def _names(self, split: Dataset, how: Labels, name: str) -> Any:
        """A function from a row's value to its class name. The function raises DataError for a number without a name."""
        feature = split.features[how.column]
        kind = items_of(feature) or feature
        if not isinstance(kind, ClassLabel):
            return str

        def named(value: int) -> str:
            if not 0 <= value < len(kind.names):
                raise DataError(
                    f"the split '{name}' has the label {value}, but the {len(kind.names)} classes are numbered "
                    f"0 to {len(kind.names) - 1}. Correct or remove such rows"
                )
            return kind.names[value]

        return named

    def unlabelled(self, split: Dataset, how: Labels) -> bool:
        if not set(how.columns) <= set(split.column_names):
            return False
        if len(how.columns) > 1:
            return all(np.isnan(_flags(split, column, "")).all() for column in how.columns)
        return all(row is None for row in _rows(split, how))

    def check_train(self, targets: np.ndarray, classes: Sequence[str], taken: Sequence[str]) -> list[str]:
        """A warning for labels that no training image has, or that all have. Raises DataError where no label varies.

        targets: float32 (N, K).
        """
        positives, negatives = self.counts(targets, len(classes)), (targets == 0).sum(0)
        if not (positives.any() and negatives.any()):
            raise DataError(
                f"no label varies in the training split ({few(classes)}): there is nothing to learn. "
                f"Name the right column: data.label_column=NAME"
            )
        empty = [name for name, count in zip(classes, positives, strict=True) if not count]
        always = [name for name, count in zip(classes, negatives, strict=True) if not count]
        warnings = [f"no training image has {few(empty)} ({len(empty)} of {len(classes)} labels)"] if empty else []
        return warnings + ([f"every training image has {few(always)}, or it is unknown"] if always else [])

    def renumber(self, targets: np.ndarray, numbers: np.ndarray, classes: int) -> np.ndarray:
        """Targets float32 (N, K) with the columns of `classes` classes; column k becomes numbers[k]."""
        renumbered = np.full((len(targets), classes), np.nan, np.float32)
        kept = numbers >= 0
        renumbered[:, numbers[kept]] = targets[:, kept]
        return renumbered

    def strata(self, targets: np.ndarray) -> np.ndarray:
        """Which labels each image is known to have, bool (N, K)."""
        return targets == 1

    def counts(self, targets: np.ndarray, classes: int) -> np.ndarray:
        """Images that have each label, int64 (K,), of targets float32 (N, K)."""
        return (targets == 1).sum(0)

    def labels(self, target: np.ndarray) -> tuple[int, ...]:
        """Numbers of the labels that an image has, whose target is float32 (K,)."""
        return tuple(np.flatnonzero(target == 1).tolist())

    def example(self, images: int, classes: int) -> Tensor:
        """Targets float32 (B, K) of `images` made-up images."""
        return torch.eye(classes)[torch.arange(images) % classes]

    def soft(self, targets: Tensor, classes: int) -> Tensor:
        """The targets themselves, float32 (B, K)."""
        return targets

    def prior_bias(self, targets: np.ndarray, classes: int) -> Tensor:
        """log-odds of each label's rate among the images where it is known, kept finite by half an image either way.

        targets: float32 (N, K); the result is (K,).
        """
        positives, known = (targets == 1).sum(0), (~np.isnan(targets)).sum(0)
        rates = torch.from_numpy((positives + 0.5) / (known + 1.0))
        return torch.logit(rates).float()

    def probabilities(self, logits: Tensor, rule: Rule) -> Tensor:
        """Sigmoid of logits (B, K) after the rule's temperature and prior, float32 (B, K)."""
        scores = logits.float() / rule.temperature
        if rule.prior is not None:
            scores = scores - rule.tau * torch.logit(torch.tensor(rule.prior, device=scores.device))
        return scores.sigmoid()

    def decide(self, probabilities: Tensor, rule: Rule) -> list[Decision]:
        """The labels whose probability reaches their threshold, the most probable first. probabilities: (B, K)."""
        width = probabilities.shape[1]
        floors = torch.tensor(rule.thresholds or (THRESHOLD,) * width, device=probabilities.device)
        given = (probabilities >= floors).cpu()
        order = probabilities.sort(dim=1, descending=True, stable=True).indices.tolist()
        return [Decision(tuple(k for k in row if yes[k])) for row, yes in zip(order, given.tolist(), strict=True)]


def _rows(split: Dataset, how: Labels) -> list[Sequence[Any] | None]:
    """What each row lists, in the column's own values; None where it says nothing."""
    feature, values = split.features[how.column], split[how.column][:]
    if items_of(feature) is not None:
        return [None if row is None else [v for v in row if v is not None] for row in values]
    if is_text(feature):
        return [None if cell is None else _parts(cell, how.delimiter) for cell in values]
    return [None if value is None or value == -1 else (value,) for value in values]


def _parts(cell: str, delimiter: str | None) -> list[str]:
    """The labels in a cell of text, without the spaces around them; a blank cell has none."""
    parts: Iterable[str] = [cell] if delimiter is None else cell.split(delimiter)
    return [part.strip() for part in parts if part.strip()]


def _flags(split: Dataset, column: str, name: str) -> np.ndarray:
    """A column that is one label, float32 (N,): 1, 0, and NaN for -1 and what is blank. Raises DataError."""
    flags = np.empty(len(split), np.float32)
    for i, value in enumerate(split[column][:]):
        word = str(value).strip().lower().removesuffix(".0")
        if word not in YES | NO | UNKNOWN:
            raise DataError(
                f"row {i} of the split '{name}' has {value!r} in the label column '{column}', which must hold 1 (yes), "
                f"0 (no), and -1 or nothing (unknown)"
            )
        flags[i] = np.nan if word in UNKNOWN else word in YES
    return flags
