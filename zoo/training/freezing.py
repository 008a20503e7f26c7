"""The one place that freezes: gradients by group, and the mode of every module after each `train()`."""

from collections.abc import Iterable, Iterator

from torch import nn

from zoo.contracts import Phase
from zoo.models.groups import Groups


def freeze(model: nn.Module, groups: Groups, phase: Phase) -> None:
    """Let exactly the phase's groups train. A stale gradient of a frozen parameter is dropped."""
    trainable = {name for group in phase.trainable for name in groups[group]}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trainable)
        if name not in trainable:
            parameter.grad = None


def train_mode(model: nn.Module, freeze_bn_stats: bool) -> None:
    """Train mode for what trains, eval mode for what is frozen, dropout and batch-norm statistics included.

    A module trains if any parameter below it does. One without parameters does as its block does; where that block
    trains in part, it follows its neighbours in order: dropout the parameters after it, batch norm without affine
    (which has buffers) those before it.
    """
    model.train()
    modules = list(model.modules())
    before, after = _neighbours(modules), _neighbours(reversed(modules))
    for module, block in _blocks(model, model):
        wanted = {p.requires_grad for p in block.parameters()}
        if block is module or len(wanted) == 1:
            trains = True in wanted
        else:
            trains = (before if any(True for _ in module.buffers()) else after)[module]
        statistics = getattr(module, "running_var", None) is not None
        module.training = trains and not (freeze_bn_stats and statistics)


def _blocks(module: nn.Module, above: nn.Module) -> Iterator[tuple[nn.Module, nn.Module]]:
    """(module, block) for each module below: itself if it has parameters, else the nearest one around it that has."""
    block = module if any(True for _ in module.parameters()) else above
    yield module, block
    for child in module.children():
        yield from _blocks(child, block)


def _neighbours(modules: Iterable[nn.Module]) -> dict[nn.Module, bool]:
    """For each module whether the parameters met last, in the order given, train."""
    met, last = {}, True
    for module in modules:
        own = list(module.parameters(recurse=False))
        last = any(p.requires_grad for p in own) if own else last
        met[module] = last
    return met
