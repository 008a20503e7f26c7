"""Freezing schedules that come with the zoo. Pure functions: groups and epochs in, phases out."""

from zoo.contracts import HEAD, Phase


def none(groups: tuple[str, ...], epochs: int) -> tuple[Phase, ...]:
    """Everything trains from the first step (full fine-tuning)."""
    return (Phase(epochs, groups),)


def linear_probe(groups: tuple[str, ...], epochs: int) -> tuple[Phase, ...]:
    """Only the head trains. The backbone stays exactly as it came, so its features are computed once."""
    return (Phase(epochs, (HEAD,)),)


def two_stage(
    groups: tuple[str, ...], epochs: int, head_epochs: int = 1, head_lr_scale: float = 1.0
) -> tuple[Phase, ...]:
    """The head first, then everything (LP-FT, arXiv:2202.10054).

    head_epochs: epochs of the first stage; head_lr_scale: its learning rate relative to `optim.lr`.
    """
    _check(
        0 < head_epochs < epochs, f"head_epochs is {head_epochs}, but must lie between 1 and epochs - 1 = {epochs - 1}"
    )
    _check(head_lr_scale > 0, f"head_lr_scale is {head_lr_scale}, but must be above 0")
    return (Phase(head_epochs, (HEAD,), {HEAD: head_lr_scale}), Phase(epochs - head_epochs, groups))


def gradual(
    groups: tuple[str, ...], epochs: int, epochs_per_group: int = 1, lr_decay: float = 1.0
) -> tuple[Phase, ...]:
    """Unfreeze one more group every few epochs, from the head down (ULMFiT, arXiv:1801.06146).

    epochs_per_group: epochs before the next group joins; lr_decay: learning-rate factor per group below the head.
    Where the epochs do not reach all groups, the last phase still trains everything.
    """
    _check(epochs_per_group >= 1, f"epochs_per_group is {epochs_per_group}, but must be at least 1")
    _check(0 < lr_decay <= 1, f"lr_decay is {lr_decay}, but must lie in (0, 1]")
    count = min(len(groups), max(1, epochs // epochs_per_group))
    phases = []
    for i in range(count):
        last = i == count - 1
        trainable = groups if last else groups[-1 - i :]
        scale = {g: lr_decay**depth for depth, g in enumerate(reversed(trainable))}
        phases.append(Phase(epochs - i * epochs_per_group if last else epochs_per_group, trainable, scale))
    return tuple(phases)


def first_k(groups: tuple[str, ...], epochs: int, k: int = 1) -> tuple[Phase, ...]:
    """Freeze the first k groups (stem first) for good, train the rest."""
    _check(0 <= k < len(groups), f"k is {k}, but must lie between 0 and {len(groups) - 1}, the groups below the head")
    return (Phase(epochs, groups[k:]),)


def _check(true: bool, otherwise: str) -> None:
    if not true:
        raise ValueError(otherwise)
