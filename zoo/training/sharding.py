"""FSDP2: weights, gradients and optimiser state spread over the processes, for models too large for one device with them.

torch's own `fully_shard`, since Accelerate's way to it serves GPUs only and takes batch-norm buffers for weights.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from zoo.models.mode import evaluating

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
LARGE = 1_000_000
"""Weights from which a single layer is worth gathering by itself."""


def blocks(model: nn.Module, example: torch.Tensor) -> list[str]:
    """Names of the blocks that the model calls on `example`, inner ones first: what can be gathered one after another.

    They are members of containers with layers of their own, or large ones; what is read otherwise than by a call is none.
    """
    called: set[nn.Module] = set()
    hooks = [m.register_forward_pre_hook(lambda module, _: called.add(module)) for m in model.modules()]
    try:
        with evaluating(model), torch.no_grad():
            model(example)
    finally:
        for hook in hooks:
            hook.remove()
    members = {child for m in model.modules() if isinstance(m, CONTAINERS) for child in m.children()}
    found = [name for name, m in model.named_modules() if m in members & called and _is_block(m)]
    return found[::-1]


def _is_block(module: nn.Module) -> bool:
    weights = sum(p.numel() for p in module.parameters())
    layered = any(True for _ in module.children()) and not isinstance(module, CONTAINERS)
    return weights >= LARGE or (weights > 0 and layered)


def spread(model: nn.Module, units: Sequence[str], device: torch.device) -> nn.Module:
    """The model, on the CPU until now, in parts on the processes' devices; `units` are gathered one at a time to compute."""
    model.to(memory_format=torch.contiguous_format)
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    for name in units:
        fully_shard(model.get_submodule(name), mesh=mesh)
    return fully_shard(model, mesh=mesh)


def is_spread(tensor: torch.Tensor) -> bool:
    """Whether each process has its part of it."""
    return isinstance(tensor, DTensor)


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor; one that is spread is gathered on the CPU, for which every process must ask."""
    return tensor.full_tensor().cpu() if is_spread(tensor) else tensor


def whole_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state of a model, spread or not, in whole tensors."""
    return {name: whole(tensor) for name, tensor in model.state_dict().items()}


def laid_out_as(tensor: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """A whole tensor as `other` lies in memory; this process's part of it where `other` is spread."""
    if is_spread(other):
        return distribute_tensor(tensor.to(other.device), other.device_mesh, other.placements)
    return torch.empty_like(other, dtype=tensor.dtype).copy_(tensor)


def load_whole(model: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Load whole tensors into a model, spread or not."""
    own = model.state_dict()
    model.load_state_dict({name: laid_out_as(tensor, own[name]) for name, tensor in state.items()})
