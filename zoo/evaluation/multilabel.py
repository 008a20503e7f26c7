"""Metrics of several labels per image: a function for each row of the metric table, cheap enough for every epoch.

N images, K labels. Targets are 0, 1 or NaN for unknown, which counts nowhere. Averages over labels are over those that
have a positive; `absent` gives the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.evaluation import ranking
from zoo.tasks.losses import Loss
from zoo.tasks.rule import THRESHOLD


@dataclass(frozen=True)
class MultilabelScores:
    """Logits (N, K) float32 and targets (N, K) float32 on the CPU, and what several metrics count.

    loss: the loss that is trained, (logits, targets) -> (N, K), NaN or anything where a target is unknown; None where it
    is not known. probabilities: (N, K) by the model's rule; None is the sigmoid of the logits. thresholds: probability
    from which each label is given (K,), None for `THRESHOLD`.
    """

    logits: Tensor
    targets: Tensor
    loss: Loss | None = None
    probabilities: Tensor | None = None
    thresholds: Sequence[float] | None = None

    @property
    def scores(self) -> Tensor:
        """What orders the images of a label (N, K)."""
        return self.logits if self.probabilities is None else self.probabilities

    @cached_property
    def known(self) -> Tensor:
        """Where a target is known (N, K)."""
        return ~self.targets.isnan()

    @cached_property
    def positive(self) -> Tensor:
        """Labels that an image is known to have (N, K)."""
        return self.targets == 1

    @cached_property
    def given(self) -> Tensor:
        """Labels that an image is given, those of unknown targets left out (N, K)."""
        thresholds = THRESHOLD if self.thresholds is None else torch.tensor(self.thresholds)
        probabilities = self.logits.sigmoid() if self.probabilities is None else self.probabilities
        return (probabilities >= thresholds) & self.known

    @cached_property
    def average_precisions(self) -> Tensor:
        """Average precision of each label (K,); NaN where it has no positive."""
        return ranking.average_precision(self.scores, self.targets)

    @cached_property
    def areas(self) -> Tensor:
        """Area under each label's ROC curve (K,); NaN where it lacks positives or negatives."""
        return ranking.auroc(self.scores, self.targets)

    @cached_property
    def present(self) -> Tensor:
        """Labels that have a positive (K,)."""
        return self.positive.any(0)

    def absent(self, classes: int) -> list[int]:
        """Those of so many labels that have no positive."""
        return [k for k in range(classes) if not self.present[k]]

    def f1(self, dims: tuple[int, ...]) -> Tensor:
        """F1 over the given dimensions; NaN where there is neither a positive nor a label that was given.

        The values are (K,), (N,) or a scalar.
        """
        hits = (self.given & self.positive).sum(dims).double()
        return 2 * hits / (self.given.sum(dims) + self.positive.sum(dims))


def mean_average_precision(m: MultilabelScores) -> Tensor:
    """Mean average precision of the labels that have a positive; a scalar."""
    return m.average_precisions.nanmean()


def macro_f1(m: MultilabelScores) -> Tensor:
    """Mean F1 of the labels that have a positive. A scalar."""
    return m.f1((0,))[m.present].mean()


def micro_f1(m: MultilabelScores) -> Tensor:
    """F1 of all decisions together. A scalar."""
    return m.f1((0, 1))


def samples_f1(m: MultilabelScores) -> Tensor:
    """Mean F1 of the images that have a known label; 1 for an image without labels that is given none. A scalar."""
    return m.f1((1,)).nan_to_num(1.0)[m.known.any(1)].mean()


def auroc(m: MultilabelScores) -> Tensor:
    """Mean area over the labels that have both positives and negatives. A scalar."""
    return m.areas.nanmean()


def log_loss(m: MultilabelScores) -> Tensor:
    """Mean binary cross-entropy of the known labels, in nats. A scalar."""
    measure = F.binary_cross_entropy_with_logits if m.probabilities is None else F.binary_cross_entropy
    losses = measure(m.scores[m.known], m.targets[m.known], reduction="none")
    return losses.mean(dtype=torch.float64)


def loss(m: MultilabelScores) -> Tensor | None:
    """Mean of the loss that is trained: over an image's known labels, then over the images that have one. A scalar."""
    if m.loss is None:
        return None
    losses, known = m.loss(m.logits, m.targets.nan_to_num(0.0)), m.known
    if losses.ndim == 1:
        return losses.mean(dtype=torch.float64)
    by_image = losses.where(known, 0.0).sum(1) / known.sum(1)
    return by_image[known.any(1)].mean(dtype=torch.float64)


FUNCTIONS: dict[str, Callable[[MultilabelScores], Tensor | None]] = {
    "map": mean_average_precision,
    **{function.__name__: function for function in (macro_f1, micro_f1, samples_f1, auroc, log_loss, loss)},
}
