"""Where the layers of one of torchvision's models stand in a model of stages, and hence what its weights are called."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from zoo_torchvision.staged import Tap

Names = tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """torchvision's names of the layers of each part, in the order in which they run.

    taps: as in `Staged`; head: torchvision's name -> ours for the layers after the feature map, None for those left out.
    """

    stem: Names
    stages: tuple[Names, ...]
    taps: tuple[Tap, ...]
    head: Mapping[str, str | None]
    final_conv: Names = ()
    places: Mapping[str, str | None] = field(init=False)
    """torchvision's name of each layer -> its name in the model of stages."""

    def __post_init__(self) -> None:
        parts = {"stem": self.stem, "final_conv": self.final_conv}
        parts |= {f"stages.{i}": stage for i, stage in enumerate(self.stages)}
        places = {name: f"{part}.{i}" for part, names in parts.items() for i, name in enumerate(names)}
        object.__setattr__(self, "places", {**places, **self.head})

    def parts(
        self, source: nn.Module, in_chans: int
    ) -> tuple[nn.Sequential, list[nn.Sequential], nn.Sequential | None, tuple[Tap, ...]]:
        """Stem, stages, final convolution and taps, made of the layers of torchvision's model `source`."""

        def of(names: Names) -> nn.Sequential:
            return nn.Sequential(*(source.get_submodule(name) for name in names))

        stem = of(self.stem)
        _set_channels(stem, in_chans)
        return stem, [of(stage) for stage in self.stages], of(self.final_conv) if self.final_conv else None, self.taps

    def renamed(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """torchvision's tensors under the names of the model of stages; names that are its own already stay."""
        named = ((self._renamed(name), tensor) for name, tensor in tensors.items())
        return {name: tensor for name, tensor in named if name is not None}

    def _renamed(self, name: str) -> str | None:
        layer = next((layer for layer in self.places if name.startswith(f"{layer}.")), None)
        if layer is None:
            return name
        place = self.places[layer]
        return None if place is None else place + name.removeprefix(layer)


def _set_channels(stem: nn.Sequential, in_chans: int) -> None:
    """Let the first convolution, which torchvision builds for 3 channels, take `in_chans`."""
    name, conv = next((name, module) for name, module in stem.named_modules() if isinstance(module, nn.Conv2d))
    if conv.in_channels != in_chans:
        shape = {key: getattr(conv, key) for key in ("out_channels", "kernel_size", "stride", "padding")}
        stem.set_submodule(name, nn.Conv2d(in_chans, **shape, bias=conv.bias is not None))
