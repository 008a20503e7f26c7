"""Metrics of one class per image: a function for each row of the metric table, cheap enough for every epoch.

N images, K classes. Macro averages are over the classes that the split has; `absent` names the others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.evaluation.ranking import auroc as auroc_by_class

TOP = 5


@dataclass(frozen=True)
class Multiclass:
    """Logits (N, K) float32 and targets (N,) int64 on the CPU, and what several metrics count.

    loss: the loss that is trained, (logits, targets) -> (N,); None where it is not known.
    """

    logits: Tensor
    targets: Tensor
    loss: Callable[[Tensor, Tensor], Tensor] | None = None

    @cached_property
    def predicted(self) -> Tensor:
        """The class with the largest logit (N,)."""
        return self.logits.argmax(1)

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
        """Mean over the classes that the split has."""
        return by_class[self.support > 0].mean()


def absent(targets: Tensor, classes: int) -> list[int]:
    """Classes without an image."""
    return (torch.bincount(targets, minlength=classes) == 0).nonzero().flatten().tolist()


def accuracy(m: Multiclass) -> Tensor:
    return m.hits.sum() / len(m.targets)


def top5(m: Multiclass) -> Tensor:
    """Share of images whose class is among the five largest logits; of ties at the border, the expected share."""
    own = m.logits.gather(1, m.targets[:, None])
    larger, equal = (m.logits > own).sum(1), (m.logits == own).sum(1)
    return ((TOP - larger) / equal.clamp(min=1)).clamp(0, 1).where(equal > 0, 0.0).double().mean()


def macro_f1(m: Multiclass) -> Tensor:
    return m.macro(2 * m.hits / (m.support + m.chosen))


def macro_precision(m: Multiclass) -> Tensor:
    """A class that is given to no image counts 0."""
    return m.macro(m.hits / m.chosen.clamp(min=1))


def balanced_accuracy(m: Multiclass) -> Tensor:
    """Mean recall."""
    return m.macro(m.hits / m.support)


def mcc(m: Multiclass) -> Tensor:
    """Matthews' correlation for several classes (Gorodkin, 2004); 0 where all images have, or are given, one class."""
    count = len(m.targets)
    common = count * m.hits.sum() - m.support @ m.chosen
    spread = (count**2 - m.support @ m.support) * (count**2 - m.chosen @ m.chosen)
    return common / spread.sqrt() if spread > 0 else torch.tensor(0.0)


def kappa(m: Multiclass) -> Tensor:
    """Cohen's kappa: agreement beyond chance; undefined where all images have and are given the same class."""
    by_chance = (m.support @ m.chosen) / len(m.targets) ** 2
    return (accuracy(m) - by_chance) / (1 - by_chance)


def auroc(m: Multiclass) -> Tensor:
    """Mean one-versus-rest area over the classes that have both positives and negatives."""
    return auroc_by_class(m.logits.softmax(1), m.targets).nanmean()


def log_loss(m: Multiclass) -> Tensor:
    """Cross-entropy of the softmax, in nats."""
    return F.cross_entropy(m.logits, m.targets, reduction="none").mean(dtype=torch.float64)


def loss(m: Multiclass) -> Tensor | None:
    """Mean of the loss that is trained."""
    return None if m.loss is None else m.loss(m.logits, m.targets).mean(dtype=torch.float64)


FUNCTIONS: dict[str, Callable[[Multiclass], Tensor | None]] = {
    function.__name__: function
    for function in (accuracy, top5, macro_f1, macro_precision, balanced_accuracy, mcc, kappa, auroc, log_loss, loss)
}
