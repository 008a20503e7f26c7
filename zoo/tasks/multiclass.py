"""One class for each image: class numbers as targets, softmax, the most probable class."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from datasets import ClassLabel, Dataset, Value
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import DataError
from zoo.tasks.rule import Rule
from zoo.tasks.targets import Labels, check_known, few
from zoo.tasks.task import Decision


class Multiclass:
    """Every image has exactly one class. Targets: int64 (N,)."""

    name = "multiclass"
    losses = ("cross-entropy", "focal", "bce", "poly1")
    headline = "accuracy"
    activation = "softmax"

    def reads(self, feature: Any) -> bool:
        return isinstance(feature, ClassLabel) or (
            isinstance(feature, Value) and re.fullmatch(r"(large_)?(u?int\d+|string|bool)", feature.dtype) is not None
        )

    def classes(self, train: Dataset, how: Labels) -> tuple[str, ...]:
        """Names from the feature, else the sorted values. Raises DataError for rows without a label."""
        names = self.own_classes(train, how)
        if len(names) < 2:
            raise _too_few(names)
        return names

    def own_classes(self, split: Dataset, how: Labels) -> tuple[str, ...]:
        kind = split.features[how.column]
        if isinstance(kind, ClassLabel):
            return tuple(kind.names)
        values = set(split[how.column])
        if None in values:
            raise DataError(
                f"data.label_column: '{how.column}' has rows without a label. "
                f"Remove them, or name another column: data.label_column=NAME"
            )
        return tuple(str(v) for v in sorted(values))

    def encode(self, split: Dataset, how: Labels, classes: Sequence[str], name: str, kind: str) -> np.ndarray:
        """Class numbers, int64 (N,). Raises DataError for labels that `classes` does not have."""
        feature, values = split.features[how.column], split[how.column][:]
        if isinstance(feature, ClassLabel):
            labels = _numbered(values, feature, name, kind)
            own = feature.names
        else:
            own = sorted({str(v) for v in values})
            position = {label: i for i, label in enumerate(own)}
            labels = np.asarray([position[str(v)] for v in values], dtype=np.int64)
        where = {label: i for i, label in enumerate(classes)}
        check_known({own[i] for i in np.unique(labels)}, classes, name, kind)
        return np.asarray([where.get(label, -1) for label in own], dtype=np.int64)[labels]

    def unlabelled(self, split: Dataset, how: Labels) -> bool:
        column = how.column
        blank = (None, -1) if isinstance(split.features.get(column), ClassLabel) else (None,)
        return column in split.features and all(value in blank for value in split.unique(column))

    def check_train(self, targets: np.ndarray, classes: Sequence[str], taken: Sequence[str]) -> list[str]:
        """No warnings. Raises DataError for a class without enough training images. targets: int64 (N,)."""
        counts = self.counts(targets, len(classes))
        empty = [name for name, count in zip(classes, counts, strict=True) if not count]
        if len(classes) - len(empty) < 2:
            raise _too_few([name for name in classes if name not in empty])
        if empty:
            raise DataError(
                f"the training split has no image of {few(empty)} ({len(empty)} of {len(classes)} classes). "
                f"Add some, or take the class out of the data set's class list"
            )
        fewest = int(counts.argmin())
        if counts[fewest] <= len(taken):
            splits = " ".join(f"data.splits.{kind}=NAME" for kind in taken)
            raise DataError(
                f"the class '{classes[fewest]}' needs at least {1 + len(taken)} training images and has "
                f"{counts[fewest]}, as train also gives {' and '.join(taken)}. Add images, or name splits: {splits}"
            )
        return []

    def renumber(self, targets: np.ndarray, numbers: np.ndarray, classes: int) -> np.ndarray:
        """Targets int64 (N,) with class k called numbers[k]."""
        return numbers[targets]

    def strata(self, targets: np.ndarray) -> np.ndarray:
        """The class of each image, int64 (N,)."""
        return targets

    def counts(self, targets: np.ndarray, classes: int) -> np.ndarray:
        """Images of each class, int64 (K,), of targets int64 (N,)."""
        return np.bincount(targets, minlength=classes)

    def labels(self, target: np.ndarray) -> tuple[int, ...]:
        """The one class of an image, whose target is a scalar."""
        return (int(target),)

    def example(self, images: int, classes: int) -> Tensor:
        """Targets int64 (B,) of `images` made-up images."""
        return torch.arange(images) % classes

    def soft(self, targets: Tensor, classes: int) -> Tensor:
        """Targets int64 (B,) as shares, float32 (B, K)."""
        return F.one_hot(targets, classes).float()

    def prior_bias(self, targets: np.ndarray, classes: int) -> None:
        return None

    def probabilities(self, logits: Tensor, rule: Rule) -> Tensor:
        """Softmax of logits (B, K), or sigmoid if the rule says so, after its temperature and prior: float32 (B, K)."""
        scores = logits.float() / rule.temperature
        if rule.prior is not None:
            scores = scores - rule.tau * torch.tensor(rule.prior, device=scores.device).log()
        return scores.sigmoid() if rule.activation == "sigmoid" else scores.softmax(1)

    def decide(self, probabilities: Tensor, rule: Rule) -> list[Decision]:
        """The most probable class, unless it is below `abstain_below`; the conformal set where there is a quantile.

        probabilities: (B, K).
        """
        ranked = probabilities.sort(dim=1, descending=True, stable=True)
        floor = rule.abstain_below or 0.0
        decisions = []
        for values, order in zip(ranked.values.tolist(), ranked.indices.tolist(), strict=True):
            abstained = values[0] < floor
            candidates = None
            if rule.quantile is not None:
                candidates = tuple(k for p, k in zip(values, order, strict=True) if p >= 1 - rule.quantile)
            decisions.append(Decision(() if abstained else (order[0],), abstained, candidates))
        return decisions


def _numbered(values: Sequence[Any], feature: ClassLabel, name: str, kind: str) -> np.ndarray:
    """The numbers of a class-label column, int64 (N,). Raises DataError for those that name no class."""
    labels = np.asarray([-1 if v is None else v for v in values], dtype=np.int64)
    bad = np.flatnonzero((labels < 0) | (labels >= len(feature.names)))
    if not bad.size:
        return labels
    if (labels == -1).all():
        raise DataError(f"the split '{name}' has no labels. Name another: data.splits.{kind}=NAME")
    raise DataError(
        f"row {bad[0]} of the split '{name}' has label {values[int(bad[0])]}, "
        f"but the {len(feature.names)} classes are numbered 0 to {len(feature.names) - 1}. "
        f"Correct or remove such rows ({bad.size} of {len(labels)})"
    )


def _too_few(names: Sequence[str]) -> DataError:
    return DataError(
        f"a classifier needs at least two classes, the training split has {few(names) or 'none'}. "
        f"Add images of another, or name the right column: data.label_column=NAME"
    )
