"""Metrics of several labels per image: a function for each row of the metric table, cheap enough for every epoch.

N images, K labels. Targets are 0, 1 or NaN for unknown, which counts nowhere. Averages over labels are over those that
have a positive; `absent` names the others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.evaluation import ranking


@dataclass(frozen=True)
class Multilabel:
    """Logits (N, K) float32 and targets (N, K) float32 on the CPU, and what several metrics count.

    loss: the loss that is trained, (logits, targets) -> (N, K), NaN or anything where a target is unknown; None where it
    is not known. thresholds: probability from which a label is given, (K,) or one for all.
    """

    logits: Tensor
    targets: Tensor
    loss: Callable[[Tensor, Tensor], Tensor] | None = None
    thresholds: Tensor | float = 0.5

    @cached_property
    def known(self) -> Tensor:
        """Where a target is known (N, K)."""
        return ~self.targets.isnan()

    @cached_property
    def positive(self) -> Tensor:
        return self.targets == 1

    @cached_property
    def given(self) -> Tensor:
        """Labels that an image is given, those of unknown targets left out (N, K)."""
        return (self.logits.sigmoid() >= self.thresholds) & self.known

    @cached_property
    def present(self) -> Tensor:
        """Labels that have a positive (K,)."""
        return self.positive.any(0)

    def f1(self, dims: tuple[int, ...]) -> Tensor:
        """F1 over the given dimensions; NaN where there is neither a positive nor a label that was given."""
        hits = (self.given & self.positive).sum(dims).double()
        return 2 * hits / (self.given.sum(dims) + self.positive.sum(dims))


def absent(targets: Tensor) -> list[int]:
    """Labels without a positive."""
    return (~(targets == 1).any(0)).nonzero().flatten().tolist()


def mean_average_precision(m: Multilabel) -> Tensor:
    return ranking.average_precision(m.logits, m.targets).nanmean()


def macro_f1(m: Multilabel) -> Tensor:
    """Mean F1 of the labels that have a positive."""
    return m.f1((0,))[m.present].mean()


def micro_f1(m: Multilabel) -> Tensor:
    """F1 of all decisions together."""
    return m.f1((0, 1))


def samples_f1(m: Multilabel) -> Tensor:
    """Mean F1 of the images that have a known label; 1 for an image without labels that is given none."""
    return m.f1((1,)).nan_to_num(1.0)[m.known.any(1)].mean()


def auroc(m: Multilabel) -> Tensor:
    """Mean area over the labels that have both positives and negatives."""
    return ranking.auroc(m.logits, m.targets).nanmean()


def log_loss(m: Multilabel) -> Tensor:
    """Mean binary cross-entropy of the known labels, in nats."""
    losses = F.binary_cross_entropy_with_logits(m.logits[m.known], m.targets[m.known], reduction="none")
    return losses.mean(dtype=torch.float64)


def loss(m: Multilabel) -> Tensor | None:
    """Mean of the loss that is trained: over an image's known labels, then over the images that have one."""
    if m.loss is None:
        return None
    losses, known = m.loss(m.logits, m.targets.nan_to_num(0.0)), m.known
    if losses.ndim == 1:
        return losses.mean(dtype=torch.float64)
    by_image = losses.where(known, 0.0).sum(1) / known.sum(1)
    return by_image[known.any(1)].mean(dtype=torch.float64)


FUNCTIONS: dict[str, Callable[[Multilabel], Tensor | None]] = {
    "map": mean_average_precision,
    **{function.__name__: function for function in (macro_f1, micro_f1, samples_f1, auroc, log_loss, loss)},
}
