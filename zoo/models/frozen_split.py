"""The frozen bottom of a model, cut off where one tensor crosses, so that what it gives can be computed once.

The cut model is the model itself: the modules below the cut pass on what they are given, which is then not an image but
what the cut's last module would have made of it. Nothing is rebuilt, so modes, hooks, gradients and names stay as they are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from zoo.models.mode import evaluating

TOKENS = "_pos_embed"
"""What timm's transformers call the method that turns patches into tokens, which is no module."""


@dataclass(frozen=True)
class FrozenPrefix:
    """`top(features(images))` is `model(images)` while the cut is `open`.

    last: name of the module whose output crosses; bypassed: (module, method) pairs that pass on what they are given.
    """

    model: nn.Module
    last: str
    bypassed: tuple[tuple[nn.Module, str], ...]
    below: tuple[torch.Tensor, ...]
    """Weights and statistics that the features depend on."""

    @property
    def top(self) -> nn.Module:
        return self.model

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """What crosses the cut. The modules above it are not run.

        Images (B, C, H, W) to one tensor (B, ...). Raises RuntimeError where they do not reach the split.
        """

        def stop(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            raise _Reached(output)

        handle = self.model.get_submodule(self.last).register_forward_hook(stop)
        try:
            self.model(images)
        except _Reached as reached:
            return reached.output
        finally:
            handle.remove()
        raise RuntimeError(f"the model did not run its {self.last}")

    def open(self) -> None:
        """From here on `model` reads features."""
        for module, method in self.bypassed:
            setattr(module, method, _given)

    def close(self) -> None:
        """From here on `model` reads images again."""
        for module, method in self.bypassed:
            module.__dict__.pop(method, None)


class _Reached(Exception):
    """The cut is reached; carries what crosses it."""

    def __init__(self, output: torch.Tensor) -> None:
        self.output = output


def _given(given: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return given


def frozen_prefix(model: nn.Module, example: torch.Tensor) -> FrozenPrefix | None:
    """The longest bottom of `model` that is frozen and in eval mode; None where there is none or no such cut is exact.

    It is tried on `example`, two images (2, C, H, W) or more, and must give bit for bit the model's own logits.
    """
    training = [
        name for name, module in model.named_modules() if module.training and not any(True for _ in module.children())
    ]
    with evaluating(model), torch.inference_mode():
        try:
            whole, calls = _calls(model, example)
            prefix = _cut(model, calls, training)
            return prefix if prefix is not None and _is_exact(prefix, example, whole) else None
        except torch.OutOfMemoryError:
            raise
        except Exception:  # whatever a model that cannot be cut like this makes of it
            return None


@dataclass
class _Call:
    """When a module started and ended, counted in calls, and whether it gave one tensor for each image."""

    start: int
    end: int = -1
    one: bool = False


def _calls(model: nn.Module, example: torch.Tensor) -> tuple[torch.Tensor, dict[str, _Call]]:
    """The model's outputs, and the first call of each module by name."""
    calls: dict[str, _Call] = {}
    clock = iter(range(1 << 62))

    def watch(name: str) -> Iterator[Any]:
        def before(module: nn.Module, inputs: Any) -> None:
            calls.setdefault(name, _Call(next(clock)))

        def after(module: nn.Module, inputs: Any, output: Any) -> None:
            if calls[name].end < 0:
                calls[name].end = next(clock)
                calls[name].one = isinstance(output, torch.Tensor) and output.shape[:1] == example.shape[:1]

        module = model.get_submodule(name)
        yield module.register_forward_pre_hook(before)
        yield module.register_forward_hook(after)

    handles = [handle for name, _ in model.named_modules() if name for handle in watch(name)]
    try:
        return model(example), calls
    finally:
        for handle in handles:
            handle.remove()


def _cut(model: nn.Module, calls: dict[str, _Call], training: list[str]) -> FrozenPrefix | None:
    """Below the first module that is in train mode or has weights that move, everything that had ended when it started."""
    owners = [name.rpartition(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad]
    moving = [_started(name, calls) for name in owners] + [calls[name].start for name in training if name in calls]
    first = min(moving, default=0)
    ended = {name: call for name, call in calls.items() if 0 <= call.end < first}
    whole = [name for name, call in ended.items() if call.one]
    if not whole:
        return None
    last = max(whole, key=lambda name: ended[name].end)
    outer = [name for name in ended if not any(name.startswith(f"{other}.") for other in ended)]
    bypassed = [(model.get_submodule(name), "forward") for name in outer]
    owners = {name.rpartition(".")[0] for name in outer}
    bypassed += [(owner, TOKENS) for owner in map(model.get_submodule, sorted(owners)) if hasattr(owner, TOKENS)]
    above = [name for name, call in calls.items() if call.start >= first]
    below = [
        tensor
        for name, tensor in model.state_dict(keep_vars=True).items()
        if not tensor.requires_grad and name.rpartition(".")[0] not in above
    ]
    return (
        FrozenPrefix(model, last, tuple(bypassed), tuple(below)) if any(True for _ in _parameters(bypassed)) else None
    )


def _parameters(bypassed: list[tuple[nn.Module, str]]) -> Iterator[nn.Parameter]:
    for module, _ in bypassed:
        yield from module.parameters()


def _started(name: str, calls: dict[str, _Call]) -> int:
    """When a module started, or the nearest around it that is called; 0 for the model itself."""
    while name and name not in calls:
        name = name.rpartition(".")[0]
    return calls[name].start if name else 0


def _is_exact(prefix: FrozenPrefix, example: torch.Tensor, whole: torch.Tensor) -> bool:
    features = prefix.features(example)
    prefix.open()
    try:
        return len(features) == len(example) and torch.equal(prefix.top(features), whole)
    finally:
        prefix.close()
