"""A sound loss keeps every point; each fault is found at its point."""

import pytest
import torch
from torch.nn import functional as F
from verdict import failed

from zoo.testing import check_loss

ZOO_CONTRACT = ">=1,<2"


def sound(*, label_smoothing: float = 0.0, gamma: float = 2.0):
    """Focal loss (arXiv:1708.02002). gamma: how much less what is right already counts."""

    def loss(logits, targets):
        each = F.cross_entropy(logits, targets, reduction="none", label_smoothing=label_smoothing)
        return (1 - torch.exp(-each)) ** gamma * each

    return loss


def test_a_sound_loss():
    check_loss(sound)
    check_loss(sound, gamma=0.0)


def by_class(*, label_smoothing: float = 0.0):
    """Binary cross-entropy of each class."""

    def loss(logits, targets):
        labels = F.one_hot(targets, logits.shape[1]).float() if targets.ndim == 1 else targets
        return F.binary_cross_entropy_with_logits(logits, labels, reduction="none")

    loss.per_class = True
    return loss


def test_a_sound_loss_for_each_class():
    check_loss(by_class)


def mean(*, label_smoothing: float = 0.0):
    """The mean of all."""
    return lambda logits, targets: F.cross_entropy(logits, targets, label_smoothing=label_smoothing)


def indices_only(*, label_smoothing: float = 0.0):
    """Reads class indices."""
    return lambda logits, targets: -logits.log_softmax(1).gather(1, targets[:, None])[:, 0]


def upside_down(*, label_smoothing: float = 0.0):
    """The sign is wrong."""
    return lambda logits, targets: -F.cross_entropy(logits, targets, reduction="none")


def cut_off(*, label_smoothing: float = 0.0):
    """No gradient."""
    return lambda logits, targets: F.cross_entropy(logits.detach(), targets, reduction="none")


def unsmoothed():
    """Knows no smoothing."""
    return lambda logits, targets: F.cross_entropy(logits, targets, reduction="none")


FAULTS = {
    mean: {"values": "() for 6 indices"},
    indices_only: {"values": "it raised RuntimeError"},
    upside_down: {"gradients": "the loss grows with the right logit"},
    cut_off: {"gradients": "it raised RuntimeError"},
    unsmoothed: {"values": "it raised TypeError"},
}


@pytest.mark.parametrize("loss", FAULTS, ids=lambda loss: loss.__name__)
def test_each_fault_is_found(loss):
    found = failed("loss", loss)
    for point, text in FAULTS[loss].items():
        assert text in found[point]
