"""Freezing schedules that come with the zoo. Pure functions: groups and epochs in, phases out, no torch.

Groups run from stem to head; the head trains in every phase. Epochs are the most a phase takes: one with `patience`
may end earlier, and what it leaves is not trained.
"""

import math

from zoo.contracts import HEAD, Phase
from zoo.errors import did_you_mean

STEPS = 5
"""Steps of depth over which `discriminative` spreads: those of a convolutional net with a stem, four stages, a head."""


def none(groups: tuple[str, ...], epochs: int) -> tuple[Phase, ...]:
    """Everything trains from the first step: full fine-tuning (Yosinski et al. 2014, arXiv:1411.1792)."""
    return (Phase(epochs, groups),)


def linear_probe(groups: tuple[str, ...], epochs: int) -> tuple[Phase, ...]:
    """Only the head trains (Alain and Bengio 2016, arXiv:1610.01644).

    The backbone stays exactly as it came, so its features are computed once.
    """
    return (Phase(epochs, (HEAD,)),)


def two_stage(
    groups: tuple[str, ...], epochs: int, head_epochs: int = 1, head_lr_scale: float = 1.0
) -> tuple[Phase, ...]:
    """The head for a few epochs, then everything (fastai's `fine_tune`, Howard and Gugger 2020, arXiv:2002.04688).

    head_epochs: epochs of the first stage; head_lr_scale: its learning rate relative to `optim.lr`.
    """
    _check_head_epochs(head_epochs, epochs)
    _check(0 < head_lr_scale < math.inf, f"head_lr_scale is {head_lr_scale}, but must be finite and above 0")
    return (Phase(head_epochs, (HEAD,), {HEAD: head_lr_scale}), Phase(epochs - head_epochs, groups))


def lp_ft(
    groups: tuple[str, ...], epochs: int, head_epochs: int | None = None, patience: int = 2, lr_scale: float = 0.1
) -> tuple[Phase, ...]:
    """The head until it stops getting better, then everything at a low rate (LP-FT, Kumar et al. 2022, arXiv:2202.10054).

    head_epochs: the most that the head gets, half of all epochs unless said; patience: epochs without a better metric
    that end it, after which everything goes on from the best head; lr_scale: rate of the second phase relative to
    `optim.lr`.
    """
    head_epochs = max(1, epochs // 2) if head_epochs is None else head_epochs
    _check_head_epochs(head_epochs, epochs)
    _check(patience >= 1, f"patience is {patience}, but must be at least 1")
    _check(0 < lr_scale < math.inf, f"lr_scale is {lr_scale}, but must be finite and above 0")
    everything = Phase(epochs - head_epochs, groups, dict.fromkeys(groups, lr_scale))
    return (Phase(head_epochs, (HEAD,), patience=patience), everything)


def gradual(
    groups: tuple[str, ...], epochs: int, epochs_per_group: int = 1, lr_decay: float = 1.0
) -> tuple[Phase, ...]:
    """Unfreeze one more group every few epochs, from the head down (ULMFiT, Howard and Ruder 2018, arXiv:1801.06146).

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


def plateau(groups: tuple[str, ...], epochs: int, patience: int = 1) -> tuple[Phase, ...]:
    """Unfreeze from the head down, the next groups when the metric stops getting better.

    Gradual unfreezing (Howard and Ruder 2018, arXiv:1801.06146) whose steps wait for the validation metric, as in
    chain-thaw (Felbo et al. 2017, arXiv:1708.00524). Each step goes on from the best weights so far, at a constant
    rate since nobody knows its length; the last one, everything, follows the recipe.

    patience: epochs without a better metric that end a step. Each step gets an equal part of the epochs at most, and
    at least patience + 2, so that the metric has its say; few epochs therefore unfreeze several groups at a time.
    """
    _check(patience >= 1, f"patience is {patience}, but must be at least 1")
    least = patience + 2
    count = min(len(groups), 1 + (epochs - 1) // least)
    each = max(least, epochs // count)
    phases = []
    for i in range(count - 1):
        open_ = 1 + i * (len(groups) - 1) // (count - 1)
        phases.append(Phase(each, groups[-open_:], patience=patience, lr_schedule="constant"))
    return (*phases, Phase(epochs - each * (count - 1), groups))


def first_k(groups: tuple[str, ...], epochs: int, k: int = 1) -> tuple[Phase, ...]:
    """Freeze the first k groups (stem first) for good, train the rest (Yosinski et al. 2014, arXiv:1411.1792)."""
    _check(0 <= k < len(groups), f"k is {k}, but must lie between 0 and {len(groups) - 1}, the groups below the head")
    return (Phase(epochs, groups[k:]),)


def surgical(groups: tuple[str, ...], epochs: int, only: list[str] | str | None = None) -> tuple[Phase, ...]:
    """Train chosen groups and the head (surgical fine-tuning, Lee et al. 2022, arXiv:2210.11466).

    only: names of the groups, as in [stem, stage1]; the first unless said. The paper's rule: early groups for images
    that look different (noise, another camera), middle ones for other kinds of the same things.
    """
    chosen = [groups[0]] if only is None else [only] if isinstance(only, str) else only
    _check(isinstance(chosen, list) and chosen != [], f"only is {only!r}, but must name groups, as in [stem, stage1]")
    for name in chosen:
        _check(name in groups, f"only names the group '{name}', which is not there.{did_you_mean(str(name), groups)}")
    return (Phase(epochs, tuple(g for g in groups if g in chosen or g == HEAD)),)


def norm_only(groups: tuple[str, ...], epochs: int) -> tuple[Phase, ...]:
    """Train normalisation layers and the head (Frankle et al. 2020, "Training BatchNorm and Only BatchNorm", arXiv:2003.00152).

    Batch-norm statistics move with them unless `train.freeze_bn_stats` is on.
    """
    return (Phase(epochs, groups, parameters="norm"),)


def bias_only(groups: tuple[str, ...], epochs: int) -> tuple[Phase, ...]:
    """Train biases and the head (BitFit, Zaken et al. 2021, arXiv:2106.10199; TinyTL, Cai et al. 2020, arXiv:2007.11622).

    Batch-norm statistics below the head stay as they came.
    """
    return (Phase(epochs, groups, parameters="bias"),)


def freeze_out(groups: tuple[str, ...], epochs: int, t0: float = 0.8, cubed: bool = True) -> tuple[Phase, ...]:
    """Everything trains at first, then groups freeze from the stem up (FreezeOut, Brock et al. 2017, arXiv:1706.04983).

    t0: share of the epochs after which the stem freezes; the others follow at equal distances up to the head, which
    trains to the end. cubed: raise these shares to the power of three, which freezes earlier.

    The paper anneals each layer's rate to 0 by a cosine of its own, step by step. Here each epoch is a phase with
    constant rates, the cosine's values at its middle, and with an optimiser of its own; leave `optim.warmup_epochs`
    at 0. Rates are not enlarged for groups that freeze early, since the weights come trained.
    """
    _check(0 < t0 <= 1, f"t0 is {t0}, but must lie in (0, 1]")
    shares = [t0 + (1 - t0) * i / max(1, len(groups) - 1) for i in range(len(groups) - 1)] + [1.0]
    ends = {g: max(1, round(epochs * (share**3 if cubed else share))) for g, share in zip(groups, shares, strict=True)}
    phases = []
    for epoch in range(epochs):
        scale = {g: 0.5 * (1 + math.cos(math.pi * (epoch + 0.5) / end)) for g, end in ends.items() if epoch < end}
        phases.append(Phase(1, tuple(scale), scale, lr_schedule="constant"))
    return tuple(phases)


def discriminative(groups: tuple[str, ...], epochs: int, factor: float = 2.6) -> tuple[Phase, ...]:
    """Everything trains, each group slower than the one above it (ULMFiT, Howard and Ruder 2018, arXiv:1801.06146).

    factor: a group's learning rate is that of the next one divided by this. A backbone of more than 5 steps from head
    to stem spreads the same span over them, else the stem of a transformer would stand still.
    """
    _check(1 <= factor <= 1000, f"factor is {factor}, but must lie between 1 and 1000")
    last = len(groups) - 1
    step = min(1.0, STEPS / max(1, last))
    return (Phase(epochs, groups, {g: factor ** (-(last - i) * step) for i, g in enumerate(groups)}),)


def _check_head_epochs(head_epochs: int, epochs: int) -> None:
    _check(
        0 < head_epochs < epochs,
        f"head_epochs is {head_epochs}, but must lie between 1 and epochs - 1 = {epochs - 1}",
    )


def _check(true: bool, otherwise: str) -> None:
    if not true:
        raise ValueError(otherwise)
