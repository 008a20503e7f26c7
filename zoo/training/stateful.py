"""State that a checkpoint keeps: as tensors, which become a safetensors file, and as a value that JSON can hold."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import nn

from zoo.distributed.fsdp import full_state, full_tensor, load_full_state, reshard_like
from zoo.errors import RunError
from zoo.training.learner import own_tensors
from zoo.training.optim import pack_state, unpack_state

Tensors = Mapping[str, torch.Tensor]


class Stateful(Protocol):
    """Something that a resumed run must find as it was."""

    def state(self) -> tuple[Tensors, Any]:
        """Tensors by name, and a value for JSON or None. Called on every process together."""

    def load(self, tensors: Tensors, value: Any) -> None:
        """Take up what `state` gave. Raises RunError where it does not fit."""


class MustMatch:
    """A setting of which bit-equal resuming needs the same value."""

    def __init__(self, name: str, value: Any) -> None:
        self.name, self.value = name, value

    def state(self) -> tuple[Tensors, Any]:
        return {}, self.value

    def load(self, tensors: Tensors, value: Any) -> None:
        if value != self.value:
            raise RunError(
                f"the run was trained with {self.name} {value}, not {self.value}; bit-equal resuming needs the same "
                f"{self.name}"
            )


class ModuleState:
    """Parameters and buffers of a module, sharded or not. wanted: whether this process keeps the gathered tensors."""

    def __init__(self, module: nn.Module, wanted: bool) -> None:
        self.module, self.wanted = module, wanted

    def state(self) -> tuple[Tensors, Any]:
        return full_state(self.module, self.wanted), None

    def load(self, tensors: Tensors, value: Any) -> None:
        load_full_state(self.module, tensors)


class MethodState:
    """Parameters and buffers of a learner that are not its model's. wanted: as for `ModuleState`."""

    def __init__(self, learner: nn.Module, wanted: bool) -> None:
        self.learner, self.wanted = learner, wanted

    def state(self) -> tuple[Tensors, Any]:
        return {n: full_tensor(t.detach(), self.wanted) for n, t in own_tensors(self.learner).items()}, None

    @torch.no_grad()
    def load(self, tensors: Tensors, value: Any) -> None:
        own = own_tensors(self.learner)
        if own.keys() != tensors.keys():
            name = sorted(own.keys() ^ tensors.keys())[0]
            raise RunError(f"the checkpoint is of another version of the method: '{name}' is in one of them only")
        for name, tensor in tensors.items():
            own[name].copy_(reshard_like(tensor, own[name]))


class OptimizerState:
    """State and parameter groups of an optimiser. wanted: whether this process keeps the gathered tensors."""

    def __init__(self, optimizer: torch.optim.Optimizer, wanted: bool) -> None:
        self.optimizer, self.wanted = optimizer, wanted

    def state(self) -> tuple[Tensors, Any]:
        return pack_state(self.optimizer, self.wanted)

    def load(self, tensors: Tensors, value: Any) -> None:
        unpack_state(self.optimizer, tensors, value)


class ScalerState:
    """The loss scale of fp16."""

    def __init__(self, scaler: torch.amp.GradScaler) -> None:
        self.scaler = scaler

    def state(self) -> tuple[Tensors, Any]:
        return {}, self.scaler.state_dict()

    def load(self, tensors: Tensors, value: Any) -> None:
        self.scaler.load_state_dict(value)
