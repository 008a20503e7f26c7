"""What training makes small: the zoo's own losses, and one by name, checked before it is used.

B batch, K classes. Targets are class indices (B,) or, of mixed images, shares of the classes (B, K).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.config.recipe import Train
from zoo.errors import PluginError
from zoo.plugins import Plugin, calling, describe_error, find

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(*, label_smoothing: float = 0.0) -> Loss:
    """Cross-entropy with softmax: one class per image."""

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets, reduction="none", label_smoothing=label_smoothing)

    return loss


def focal(*, label_smoothing: float = 0.0, gamma: float = 2.0) -> Loss:
    """Focal loss: cross-entropy that attends less to what is already right, for rare classes.

    gamma: how much less, by the factor (1 - p) ** gamma of each class; 0 is cross-entropy.
    Lin et al., Focal Loss for Dense Object Detection, 2017 (arXiv:1708.02002), here with softmax.
    """
    if gamma < 0:
        raise ValueError(f"gamma: expected 0 or more, found {gamma}")

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        log_p = logits.log_softmax(-1)
        wrong = (-log_p.expm1()).clamp_min(1e-8)  # at 0 a power below 1 has no gradient
        return -(_shares(targets, logits, label_smoothing) * wrong.pow(gamma) * log_p).sum(-1)

    return loss


def bce(*, label_smoothing: float = 0.0, target_threshold: float | None = None, sum_classes: bool = False) -> Loss:
    """Binary cross-entropy of each class against the rest, as in ResNet strikes back; suits mixup and CutMix.

    target_threshold: shares above it count as 1, others as 0, before smoothing; 0 is the paper's choice with mixup.
    sum_classes: the sum over classes instead of their mean, which asks for a learning rate about K times smaller with sgd.
    Wightman et al., ResNet strikes back, 2021 (arXiv:2110.00476); as timm's BinaryCrossEntropy.
    """

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        wanted = _shares(targets, logits, 0.0)
        wanted = wanted if target_threshold is None else (wanted > target_threshold).to(logits.dtype)
        losses = F.binary_cross_entropy_with_logits(logits, _smoothed(wanted, label_smoothing), reduction="none")
        return losses.sum(-1) if sum_classes else losses.mean(-1)

    return loss


def poly1(*, label_smoothing: float = 0.0, epsilon: float = 1.0) -> Loss:
    """Poly-1: cross-entropy plus `epsilon` times the probability given to the wrong classes.

    Leng et al., PolyLoss, 2022 (arXiv:2204.12511).
    """

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        log_p, shares = logits.log_softmax(-1), _shares(targets, logits, label_smoothing)
        return -(shares * log_p).sum(-1) + epsilon * (1 - (shares * log_p.exp()).sum(-1))

    return loss


def _shares(targets: Tensor, logits: Tensor, label_smoothing: float) -> Tensor:
    """Targets as smoothed shares (B, K)."""
    shares = F.one_hot(targets, logits.shape[-1]) if targets.ndim == 1 else targets
    return _smoothed(shares.to(logits.dtype), label_smoothing)


def _smoothed(shares: Tensor, label_smoothing: float) -> Tensor:
    return shares * (1 - label_smoothing) + label_smoothing / shares.shape[-1]


def loss_without_smoothing(train: Train) -> Loss:
    """The recipe's loss as validation measures it, on the CPU. Raises UsageError for its options."""
    plugin = find("loss", train.loss.name)
    with calling(plugin, f"train.loss: '{plugin.name}' refuses its options"):
        return plugin.load()(label_smoothing=0.0, **train.loss.options)


def build_loss(train: Train, classes: int, device: torch.device | str = "cpu") -> Loss:
    """The recipe's loss, tried on two rows of logits. Raises UsageError for its options, PluginError for its faults."""
    plugin = find("loss", train.loss.name)
    factory = plugin.load()
    with calling(plugin, f"train.loss: '{plugin.name}' refuses its options", passing=(torch.OutOfMemoryError,)):
        loss = factory(label_smoothing=train.label_smoothing, **train.loss.options)
        loss = loss.to(device) if isinstance(loss, nn.Module) else loss
    logits = torch.linspace(-1, 1, 2 * classes, device=device).reshape(2, classes)
    labels = torch.arange(2, device=device) % classes
    for targets in (labels, torch.full_like(logits, 1 / classes)):
        _try(loss, plugin, logits.clone().requires_grad_(), targets)
    return loss


def _try(loss: Loss, plugin: Plugin, logits: Tensor, targets: Tensor) -> None:
    given = f"for logits {tuple(logits.shape)} and targets {tuple(targets.shape)}"
    try:
        losses = loss(logits, targets)
    except Exception as error:
        raise PluginError(f"{plugin} failed {given} with {describe_error(error)}") from error
    if not isinstance(losses, Tensor) or losses.shape != (2,):
        found = f"a tensor {tuple(losses.shape)}" if isinstance(losses, Tensor) else f"a {type(losses).__name__}"
        raise PluginError(f"{plugin} gives {found} {given}; the contract asks for one loss per image, (2,)")
    if not losses.requires_grad:
        raise PluginError(f"{plugin} gives losses that no gradient goes back from; nothing would be learned")
