"""In which order a model uses its parameters, and whether its groups keep that order."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from zoo.models.param_groups import parameter_groups

ASKING = ("__get__", "size", "dim", "stride", "is_floating_point", "type")
"""What only looks at a tensor's shape or type does not use it."""


class FirstUse(TorchFunctionMode):
    """Context that notes the names of parameters in the order in which torch functions first take them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.names = {id(p): name for name, p in model.named_parameters()}
        self.order: dict[str, int] = {}

    def __torch_function__(
        self, function: Callable, types: Iterable[type], args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(function, "__name__", "") not in ASKING:
            for value in tree_leaves((args, kwargs or {})):
                if isinstance(value, Tensor) and id(value) in self.names:
                    self.order.setdefault(self.names[id(value)], len(self.order))
        return function(*args, **(kwargs or {}))


def out_of_order(model: nn.Module, images: Tensor) -> Iterator[tuple[str, str]]:
    """(a parameter and its group, a parameter of an earlier group) where forward uses the first before the second.

    images: (B, C, H, W).
    """
    groups = parameter_groups(model, images.shape[-1], images.shape[1])
    with FirstUse(model) as use, torch.no_grad():
        model(images)
    firsts = [
        (group, min(used, key=use.order.__getitem__))
        for group, names in groups.items()
        if (used := [name for name in names if name in use.order])
    ]
    for i, (group, name) in enumerate(firsts):
        for earlier, other in firsts[:i]:
            if use.order[name] < use.order[other]:
                yield f"'{name}' is in {group}, the {i + 1}th of {len(groups)} groups", f"'{other}' of {earlier}"
                break
