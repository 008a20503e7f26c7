"""FSDP2: shards weights, gradients and optimiser state over the processes, for models too large for one device.

torch's own `fully_shard`, since Accelerate's way to it serves GPUs only and takes batch-norm buffers for weights.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from zoo.models.mode import evaluating

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
LARGE = 1_000_000
"""Weights from which a single layer is worth gathering by itself."""


def shard_units(model: nn.Module, example: torch.Tensor) -> list[str]:
    """Names of the modules that FSDP gathers one by one, inner ones first; the rest is gathered with the whole model.

    They are modules that the model calls on `example`, with layers of their own or large: members of containers, however
    deep, and the outermost of others. A module whose weights others share is left out.
    example: images (B, C, H, W).
    """
    called: set[nn.Module] = set()
    hooks = [m.register_forward_pre_hook(lambda module, _: called.add(module)) for m in model.modules()]
    try:
        with evaluating(model), torch.no_grad():
            model(example)
    finally:
        for hook in hooks:
            hook.remove()
    owners: dict[nn.Parameter, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        owners.setdefault(parameter, []).append(name)

    def own(name: str, module: nn.Module) -> bool:
        return all(owner.startswith(f"{name}.") for p in module.parameters() for owner in owners[p])

    def walk(module: nn.Module, prefix: str, inside: bool) -> Iterator[str]:
        for name, child in module.named_children():
            name, member = prefix + name, isinstance(module, CONTAINERS)
            found = child in called and (member or not inside) and _is_unit(child) and own(name, child)
            yield from walk(child, f"{name}.", inside or found)
            if found:
                yield name

    return list(walk(model, "", inside=False))


def _is_unit(module: nn.Module) -> bool:
    weights = sum(p.numel() for p in module.parameters())
    layered = any(True for _ in module.children()) and not isinstance(module, CONTAINERS)
    return weights >= LARGE or (weights > 0 and layered)


def shard(model: nn.Module, units: Sequence[str], device: torch.device) -> nn.Module:
    """Shard a model that is on the CPU over the processes' devices; `units` are gathered one at a time to compute."""
    model.to(memory_format=torch.contiguous_format)
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    for name in units:
        fully_shard(model.get_submodule(name), mesh=mesh)
    return fully_shard(model, mesh=mesh)


def is_sharded(tensor: torch.Tensor) -> bool:
    """Whether each process holds a shard of it only. The tensor may have any shape."""
    return isinstance(tensor, DTensor)


def full_tensor(tensor: torch.Tensor, wanted: bool = True) -> torch.Tensor:
    """Gather a DTensor on the CPU; return any other tensor as it is.

    Collective: call it on every rank, with wanted=False where the result is not needed (an empty tensor comes back).
    The result has the same shape.
    """
    if not is_sharded(tensor):
        return tensor
    gathered = tensor.full_tensor()
    return gathered.cpu() if wanted else torch.empty(0)


def full_state(model: nn.Module, wanted: bool = True) -> dict[str, torch.Tensor]:
    """The state dict of a model, sharded or not, in full tensors. Collective where it is sharded."""
    return {name: full_tensor(tensor, wanted) for name, tensor in model.state_dict().items()}


def reshard_like(tensor: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Lay out a full tensor as `other` lies in memory; where `other` is sharded, keep this process's shard of it.

    Both have the same shape.
    """
    if is_sharded(other):
        return distribute_tensor(tensor.to(other.device), other.device_mesh, other.placements)
    return torch.empty_like(other, dtype=tensor.dtype).copy_(tensor)


def load_full_state(model: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Load full tensors into a model, sharded or not."""
    own = model.state_dict()
    model.load_state_dict({name: reshard_like(tensor, own[name]) for name, tensor in state.items()})
