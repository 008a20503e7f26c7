"""The one place that freezes: gradients by group and kind, and the mode of every module after each `train()`."""

import re
from collections.abc import Callable, Iterable, Iterator

from torch import nn

from zoo.contracts import HEAD, Phase
from zoo.errors import UsageError
from zoo.models.param_groups import Groups

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
KINDS = {"norm": "only normalisation layers", "bias": "only biases"}


def select_trainable(model: nn.Module, groups: Groups, phase: Phase) -> Groups:
    """The names of exactly the parameters that move in a phase, by group.

    Raises UsageError where a phase is for one kind of parameters and the model has none of it below the head.
    """
    if phase.parameters == "all":
        return {group: groups[group] for group in phase.trainable}
    kept = set(find_norms(model) if phase.parameters == "norm" else find_biases(model))
    if not any(name in kept for group, names in groups.items() if group != HEAD for name in names):
        raise UsageError(
            f"schedule: trains {KINDS[phase.parameters]} below the head, of which this model has none. "
            f"Try schedule=linear-probe or schedule=first-k"
        )
    return {g: groups[g] if g == HEAD else tuple(n for n in groups[g] if n in kept) for g in phase.trainable}


def find_norms(model: nn.Module) -> Iterator[str]:
    """Names of the parameters of normalisation layers.

    These are torch's classes, and all that call themselves a norm and own nothing but vectors (timm's RmsNorm,
    EvoNorm2dB0 or GlobalResponseNorm, but neither NormFreeBlock nor a module that only contains norms).
    """
    for prefix, module in model.named_modules():
        own = dict(module.named_parameters(prefix, recurse=False))
        called = any(re.search(r"[Nn]orm(?!Free|al)", kind.__name__) for kind in type(module).__mro__)
        if isinstance(module, NORMS) or (called and not any(is_matrix(p) for p in own.values())):
            yield from own


def find_biases(model: nn.Module) -> Iterator[str]:
    """Names of the biases: vectors called `bias`, or so in part (`q_bias`, `in_proj_bias`), norms' included."""
    for name, parameter in model.named_parameters():
        if re.search(r"(^|_)bias(_|$)", name.rpartition(".")[2]) and not is_matrix(parameter):
            yield name


def is_matrix(parameter: nn.Parameter) -> bool:
    """Whether it has two sides or more; weights of norms and scales are vectors, sometimes written (C, 1, 1)."""
    return sum(side > 1 for side in parameter.shape) > 1


def freeze(model: nn.Module, groups: Groups, phase: Phase) -> None:
    """Let exactly what the phase trains train. A stale gradient of a frozen parameter is dropped."""
    trainable = {name for names in select_trainable(model, groups, phase).values() for name in names}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trainable)
        if name not in trainable:
            parameter.grad = None


def set_train_mode(model: nn.Module, freeze_bn_stats: bool) -> None:
    """Train mode for what trains, eval mode for what is frozen, dropout and batch-norm statistics included.

    A module trains if any parameter below it does. One without parameters does as its block does; where that block
    trains in part, it follows its neighbours in order: dropout the parameters after it, batch norm without affine
    (which has buffers) those before it. Statistics move only where whole layers train: not where biases alone do.
    """
    model.train()
    modules = list(model.modules())
    before, after = _neighbours(modules, all), _neighbours(reversed(modules), any)
    for module, block in _blocks(model, model):
        wanted = {p.requires_grad for p in block.parameters()}
        if block is module or len(wanted) == 1:
            trains = True in wanted
        else:
            trains = (before if any(True for _ in module.buffers()) else after)[module]
        if getattr(module, "running_var", None) is not None:
            fixed = freeze_bn_stats or not all(p.requires_grad for p in module.parameters(recurse=False))
            trains = trains and not fixed
        module.training = trains


def _blocks(module: nn.Module, above: nn.Module) -> Iterator[tuple[nn.Module, nn.Module]]:
    """(module, block) for each module below: itself if it has parameters, else the nearest one around it that has."""
    block = module if any(True for _ in module.parameters()) else above
    yield module, block
    for child in module.children():
        yield from _blocks(child, block)


def _neighbours(modules: Iterable[nn.Module], which: Callable[[Iterable[bool]], bool]) -> dict[nn.Module, bool]:
    """For each module whether any, or all, of the parameters met last, in the order given, train."""
    met, last = {}, True
    for module in modules:
        own = list(module.parameters(recurse=False))
        last = which(p.requires_grad for p in own) if own else last
        met[module] = last
    return met
