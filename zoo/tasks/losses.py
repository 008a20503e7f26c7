"""What training makes small: the zoo's own losses, and one by name, checked before it is used.

B batch, K classes. Targets are class indices (B,), shares of the classes (B, K) where images are mixed, or labels (B, K)
between 0 and 1, where NaN is unknown.
"""

import inspect
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.config.recipe import AUTO, Train
from zoo.errors import PluginError, UsageError
from zoo.plugins import Plugin, calling, describe_error, find
from zoo.tasks.rule import ACTIVATIONS, Rule
from zoo.tasks.task import Task, find_task

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
    Raises ValueError for a gamma below 0.
    """
    if gamma < 0:
        raise ValueError(f"gamma: expected 0 or more, found {gamma}")

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        log_p = logits.log_softmax(-1)
        wrong = (-log_p.expm1()).clamp_min(1e-8)  # at 0 a power below 1 has no gradient
        return -(_shares(targets, logits, label_smoothing) * wrong.pow(gamma) * log_p).sum(-1)

    return loss


def bce(
    *,
    label_smoothing: float = 0.0,
    target_threshold: float | None = None,
    sum_classes: bool = False,
    task: str = "multiclass",
) -> Loss:
    """Binary cross-entropy of each class against the rest: for several labels an image, and for mixup and CutMix.

    target_threshold: shares above it count as 1, others as 0, before smoothing; 0 is the paper's choice with mixup.
    sum_classes: the sum over classes instead of their mean, which asks for a learning rate about K times smaller with sgd.
    Wightman et al., ResNet strikes back, 2021 (arXiv:2110.00476); as timm's BinaryCrossEntropy, which smooths towards
    1 / K where an image has one class (s / K and 1 - s + s / K) and towards 0.5 where it may have several (s / 2 and
    1 - s / 2).
    """
    several = task == "multilabel"

    def per_class(logits: Tensor, targets: Tensor) -> Tensor:
        wanted = _shares(targets, logits, 0.0)
        wanted = wanted if target_threshold is None else (wanted > target_threshold).to(logits.dtype)
        wanted = _smoothed(wanted, label_smoothing, 2 if several else wanted.shape[-1])
        return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")

    def labels(logits: Tensor, targets: Tensor) -> Tensor:
        return per_class(logits, targets) * (logits.shape[-1] if sum_classes else 1)

    def one_class(logits: Tensor, targets: Tensor) -> Tensor:
        losses = per_class(logits, targets)
        return losses.sum(-1) if sum_classes else losses.mean(-1)

    labels.per_class = True
    return labels if several else one_class


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
    return _smoothed(shares.to(logits.dtype), label_smoothing, shares.shape[-1])


def _smoothed(shares: Tensor, label_smoothing: float, among: int) -> Tensor:
    return shares * (1 - label_smoothing) + label_smoothing / among


bce.activation = "sigmoid"
for softmax_loss in (cross_entropy, focal, poly1):
    softmax_loss.tasks = ("multiclass",)


def masked_mean(losses: Tensor, targets: Tensor) -> Tensor:
    """Mean loss of each image (B,) over its known labels, 0 where it has none: losses (B, K), targets (B, K) or (B,)."""
    if targets.ndim == 1:
        return losses.mean(-1)
    known = ~targets.isnan()
    return (losses * known).sum(-1) / known.sum(-1).clamp_min(1)


def per_image(loss: Loss) -> Loss:
    """A loss for each class (B, K) as one for each image (B,), in which unknown labels count nothing.

    The loss itself sees 0 where a label is unknown: a NaN would spoil the gradient also after multiplication by 0.
    """

    def masked(logits: Tensor, targets: Tensor) -> Tensor:
        known = targets.nan_to_num() if targets.is_floating_point() else targets
        return masked_mean(loss(logits, known), targets)

    return masked


def build_loss(
    train: Train,
    classes: int,
    device: torch.device | str = "cpu",
    task: Task | None = None,
    unknown: bool = False,
) -> Loss:
    """The recipe's loss for a task, one value an image (B,), tried on two rows of logits.

    task: multiclass unless given; unknown: whether some labels in training are unknown.
    Raises UsageError for its options and where it does not fit the task, PluginError for its faults.
    """
    task = task or find_task("multiclass")
    plugin, loss, per_class = _made(train, task, train.label_smoothing)
    loss = loss.to(device) if isinstance(loss, nn.Module) else loss
    if unknown and not per_class:
        raise UsageError(
            f"train.loss: '{plugin.name}' gives one value an image, from which unknown labels cannot be left out. "
            f"Use a loss for each class: train.loss={task.losses[0]}"
        )
    logits = torch.linspace(-1, 1, 2 * classes, device=device).reshape(2, classes)
    for targets in _examples(task, logits):
        _try(loss, plugin, logits.clone().requires_grad_(), targets, per_class)
    return per_image(loss) if per_class else loss


def loss_without_smoothing(train: Train, task: Task | None = None) -> Loss:
    """The recipe's loss as validation measures it, on the CPU: (B,), or (B, K) where it is per class.

    Raises UsageError, PluginError.
    """
    return _made(train, task or find_task("multiclass"), 0.0)[1]


def initial_rule(train: Train, task: Task) -> Rule:
    """How logits become probabilities after training by the recipe's loss, which may state an `activation`.

    Raises PluginError for an activation that there is not.
    """
    plugin = find("loss", task.losses[0] if train.loss.name == AUTO else train.loss.name)
    activation = getattr(plugin.load(), "activation", task.activation)
    if activation not in ACTIVATIONS:
        raise PluginError(
            f"{plugin} states the activation {activation!r}; the contract knows {' and '.join(ACTIVATIONS)}"
        )
    return Rule() if activation == task.activation or task.name == "multilabel" else Rule(activation=activation)


def _made(train: Train, task: Task, label_smoothing: float) -> tuple[Plugin, Loss, bool]:
    """Whose the recipe's loss is, the loss, and whether it gives a value for each class."""
    plugin = find("loss", task.losses[0] if train.loss.name == AUTO else train.loss.name)
    factory = plugin.load()
    _check_fits(factory, plugin, task)
    given = {"task": task.name} if _takes_task(factory) else {}
    with calling(plugin, f"train.loss: '{plugin.name}' refuses its options", passing=(torch.OutOfMemoryError,)):
        loss = factory(label_smoothing=label_smoothing, **given, **train.loss.options)
    return plugin, loss, bool(getattr(loss, "per_class", False) or getattr(factory, "per_class", False))


def _check_fits(factory: Callable, plugin: Plugin, task: Task) -> None:
    tasks: Sequence[str] = getattr(factory, "tasks", (task.name,))
    if task.name not in tasks:
        raise UsageError(
            f"train.loss: '{plugin.name}' is for {' and '.join(tasks)}, where the classes of an image share one "
            f"probability; with task={task.name} each has its own. Use train.loss={' or '.join(task.losses)}, "
            f"or a plugin's: zoo list losses"
        )


def _takes_task(factory: Callable) -> bool:
    """Whether a factory asks for the task's name. One written in C, without a signature, does not."""
    try:
        return "task" in inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return False


def _examples(task: Task, logits: Tensor) -> list[Tensor]:
    """Targets as a loss may meet them in this task: as encoded, and mixed."""
    targets = task.example(*logits.shape).to(logits.device)
    return [targets, torch.full_like(logits, 1 / logits.shape[1])]


def _try(loss: Loss, plugin: Plugin, logits: Tensor, targets: Tensor, per_class: bool) -> None:
    given = f"for logits {tuple(logits.shape)} and targets {tuple(targets.shape)}"
    try:
        losses = loss(logits, targets)
    except Exception as error:
        raise PluginError(f"{plugin} failed {given} with {describe_error(error)}") from error
    expected, asked = ((2,), "one loss per image, (2,)")
    if per_class:
        expected, asked = (
            tuple(logits.shape),
            f"one loss per image and class, {tuple(logits.shape)}, of per_class losses",
        )
    if not isinstance(losses, Tensor) or losses.shape != expected:
        found = f"a tensor {tuple(losses.shape)}" if isinstance(losses, Tensor) else f"a {type(losses).__name__}"
        raise PluginError(f"{plugin} gives {found} {given}; the contract asks for {asked}")
    if not losses.requires_grad:
        raise PluginError(f"{plugin} gives losses that no gradient goes back from; nothing would be learned")
