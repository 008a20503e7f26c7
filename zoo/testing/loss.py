"""The points of a loss."""

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.testing import option_values
from zoo.testing.module import close
from zoo.testing.part import Part
from zoo.testing.report import Skip, Violation
from zoo.testing.source_checks import WRITTEN

IMAGES, CLASSES = 6, 5


class Subject:
    """A loss, built with and without label smoothing."""

    def __init__(self, part: Part) -> None:
        self.part = part

    def build(self, label_smoothing: float = 0.0, **options: Any) -> Callable[[Tensor, Tensor], Tensor]:
        """The loss with these options: (logits (B, K), targets) -> (B,)."""
        return self.part.call(label_smoothing=label_smoothing, **{**self.part.options, **options})

    @cached_property
    def loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The loss: (logits (B, K), targets) -> (B,). Raises Skip if an option without a default was not given."""
        if needed := self.part.needs():
            raise Skip(f"it needs {needed[0]}=..., which has no default; pass it to check_loss")
        return self.build()

    @property
    def shape(self) -> tuple[int, ...]:
        """What the loss must give for the logits: (6,), or (6, 5) where it says `per_class = True`."""
        per_class = getattr(self.loss, "per_class", False) or getattr(self.part.call, "per_class", False)
        return (IMAGES, CLASSES) if per_class else (IMAGES,)

    @property
    def logits(self) -> Tensor:
        """Random logits (6, 5) that require gradients."""
        return torch.randn(IMAGES, CLASSES, generator=torch.Generator().manual_seed(0)).requires_grad_()

    labels = torch.arange(IMAGES) % CLASSES


@torch.no_grad()
def values(subject: Subject) -> Iterator[Violation]:
    """It gives one finite loss per image (B,), or per class (B, K) if it says so, for class indices (B,) and shares (B, K)."""
    shares = F.one_hot(subject.labels, CLASSES).float()
    for smoothing in (0.0, 0.1):
        loss = subject.build(smoothing) if smoothing else subject.loss
        by_index, by_share = loss(subject.logits, subject.labels), loss(subject.logits, shares)
        for name, value in (("indices", by_index), ("shares", by_share)):
            if value.shape != subject.shape:
                yield Violation(f"{tuple(value.shape)} for {IMAGES} {name}", "leave the mean over the batch to the zoo")
                return
            if not value.isfinite().all():
                yield Violation(f"NaN or infinity for {name}", "guard divisions and logarithms")
                return
        if not close(by_index, by_share):
            yield Violation("one-hot shares differ from class indices", "read both alike")


def gradients(subject: Subject) -> Iterator[Violation]:
    """A finite gradient reaches the logits, and the loss falls as the right logit grows."""
    logits, target = subject.logits, F.one_hot(subject.labels, CLASSES)
    subject.loss(logits, subject.labels).sum().backward()
    if logits.grad is None or not logits.grad.any() or not logits.grad.isfinite().all():
        yield Violation("none, zeros, NaN or infinity", "leave out .data, detach() and argmax")
    elif (logits.grad * target).sum() >= 0:
        yield Violation("the loss grows with the right logit", "turn the sign round")


def unknown_option(subject: Subject) -> Iterator[Violation]:
    """An option that it does not have is refused."""
    _ = subject.loss
    yield from option_values.try_undeclared(partial(subject.build))


POINTS = (*WRITTEN, values, gradients, unknown_option)
POINTS_SLOW = ()
