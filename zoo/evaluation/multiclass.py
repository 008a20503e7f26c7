"""Metrics of one class per image: a function for each row of the metric table, cheap enough for every epoch.

N images, K classes. Macro averages are over the classes that the split has; `absent` gives the others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.evaluation.ranking import auroc as auroc_by_class
from zoo.tasks.losses import Loss

TOP = 5


@dataclass(frozen=True)
class MulticlassScores:
    """Logits (N, K) float32 and targets (N,) int64 on the CPU, and what several metrics count.

    loss: the loss that is trained, (logits, targets) -> (N,); None where it is not known. probabilities: (N, K) by the
    model's rule; None is the softmax of the logits.
    """

    logits: Tensor
    targets: Tensor
    loss: Loss | None = None
    probabilities: Tensor | None = None

    @property
    def scores(self) -> Tensor:
        """What orders the classes of an image (N, K)."""
        return self.logits if self.probabilities is None else self.probabilities

    @cached_property
    def predicted(self) -> Tensor:
        """The class with the largest score (N,)."""
        return self.scores.argmax(1)

    @cached_property
    def support(self) -> Tensor:
        """Images of each class (K,) float64."""
        return self._count(self.targets)

    @cached_property
    def chosen(self) -> Tensor:
        """Images that were given each class (K,) float64."""
        return self._count(self.predicted)

    @cached_property
    def hits(self) -> Tensor:
        """Images of each class that were given it (K,) float64."""
        return self._count(self.targets[self.targets == self.predicted])

    def _count(self, classes: Tensor) -> Tensor:
        return torch.bincount(classes, minlength=self.logits.shape[1]).double()

    def macro(self, by_class: Tensor) -> Tensor:
        """Mean over the classes that the split has. by_class: (K,); the result is a scalar."""
        return by_class[self.support > 0].mean()

    def absent(self, classes: int) -> list[int]:
        """Those of so many classes that no image has."""
        return (torch.bincount(self.targets, minlength=classes) == 0).nonzero().flatten().tolist()


def accuracy(m: MulticlassScores) -> Tensor:
    """Share of images whose most probable class is right; a scalar."""
    return m.hits.sum() / len(m.targets)


def top5(m: MulticlassScores) -> Tensor:
    """Share of images whose class is among the five largest scores; of ties at the border, the expected share.

    A scalar.
    """
    own = m.scores.gather(1, m.targets[:, None])
    larger, equal = (m.scores > own).sum(1), (m.scores == own).sum(1)
    return ((TOP - larger) / equal.clamp(min=1)).clamp(0, 1).where(equal > 0, 0.0).double().mean()


def macro_f1(m: MulticlassScores) -> Tensor:
    """Mean F1 of the classes that the split has; a scalar."""
    return m.macro(2 * m.hits / (m.support + m.chosen))


def macro_precision(m: MulticlassScores) -> Tensor:
    """A class that is given to no image counts 0. The mean is a scalar."""
    return m.macro(m.hits / m.chosen.clamp(min=1))


def balanced_accuracy(m: MulticlassScores) -> Tensor:
    """Mean recall. A scalar."""
    return m.macro(m.hits / m.support)


def mcc(m: MulticlassScores) -> Tensor:
    """Matthews' correlation for several classes (Gorodkin, 2004); 0 where all images have, or are given, one class."""
    count = len(m.targets)
    common = count * m.hits.sum() - m.support @ m.chosen
    spread = (count**2 - m.support @ m.support) * (count**2 - m.chosen @ m.chosen)
    return common / spread.sqrt() if spread > 0 else torch.tensor(0.0)


def kappa(m: MulticlassScores) -> Tensor:
    """Cohen's kappa: agreement beyond chance; undefined where all images have and are given the same class.

    A scalar.
    """
    by_chance = (m.support @ m.chosen) / len(m.targets) ** 2
    return (accuracy(m) - by_chance) / (1 - by_chance)


def auroc(m: MulticlassScores) -> Tensor:
    """Mean one-versus-rest area over the classes that have both positives and negatives. A scalar."""
    probabilities = m.logits.softmax(1) if m.probabilities is None else m.probabilities
    return auroc_by_class(probabilities, m.targets).nanmean()


def log_loss(m: MulticlassScores) -> Tensor:
    """Cross-entropy of the probabilities, scaled to the sum 1, in nats. A scalar."""
    logits = m.logits if m.probabilities is None else m.probabilities.log()
    return F.cross_entropy(logits, m.targets, reduction="none").mean(dtype=torch.float64)


def loss(m: MulticlassScores) -> Tensor | None:
    """Mean of the loss that is trained. A scalar."""
    return None if m.loss is None else m.loss(m.logits, m.targets).mean(dtype=torch.float64)


FUNCTIONS: dict[str, Callable[[MulticlassScores], Tensor | None]] = {
    function.__name__: function
    for function in (accuracy, top5, macro_f1, macro_precision, balanced_accuracy, mcc, kappa, auroc, log_loss, loss)
}
