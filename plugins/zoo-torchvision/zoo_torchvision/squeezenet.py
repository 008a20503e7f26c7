"""SqueezeNet 1.0 and 1.1: Iandola et al. 2016 (arXiv:1602.07360)."""

from typing import Any, Literal

import torch
from timm.layers import ClassifierHead
from timm.models import generate_default_cfgs, register_model
from torchvision import models

from zoo_torchvision.layout import Layout
from zoo_torchvision.published import configuration, create
from zoo_torchvision.staged import Staged


def _layout(starts: tuple[int, ...], widths: tuple[int, ...]) -> Layout:
    """starts: where the stages begin among torchvision's 13 layers; widths: channels of the stem and of each stage."""
    layers = tuple(f"features.{i}" for i in range(13))
    ends = (*starts[1:], len(layers))
    return Layout(
        stem=layers[: starts[0]],
        stages=tuple(layers[start:end] for start, end in zip(starts, ends, strict=True)),
        taps=tuple((stage, width, 2 ** (stage + 1)) for stage, width in enumerate(widths)),
        head={"classifier.1": "head.fc"},
    )


LAYOUTS = {"1_0": _layout((2, 6, 11), (96, 256, 512, 512)), "1_1": _layout((2, 5, 8), (64, 128, 256, 512))}

default_cfgs = generate_default_cfgs(
    {f"squeezenet{v}.tv_in1k": configuration(f"squeezenet{v}", "stem.0", "1602.07360") for v in LAYOUTS}
)


class ConvHead(ClassifierHead):
    """Dropout, a 1×1 convolution to one map per class, a rectifier, then pooling: (B, 512, H, W) to logits (B, K)."""

    def __init__(self, in_features: int, num_classes: int, pool_type: str, drop_rate: float) -> None:
        super().__init__(in_features, num_classes, pool_type=pool_type, drop_rate=drop_rate, use_conv=True)

    def forward(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        x = self.drop(x)
        if not pre_logits:
            x = self.fc(x).relu()
        return self.flatten(self.global_pool(x))


class SqueezeNet(Staged):
    """Eight Fire modules in three stages; the classifier is a convolution that runs before pooling."""

    def __init__(
        self,
        version: Literal["1_0", "1_1"],
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.5,
    ) -> None:
        if global_pool == "catavgmax":
            raise ValueError("SqueezeNet pools logits, so global_pool can be avg, max or avgmax, not catavgmax")
        super().__init__(
            *LAYOUTS[version].parts(models.SqueezeNet(version, num_classes=1), in_chans),
            num_classes=num_classes,
            in_chans=in_chans,
            global_pool=global_pool,
            drop_rate=drop_rate,
            head=ConvHead(512, num_classes, global_pool, drop_rate),
        )


@register_model
def squeezenet1_0(pretrained: bool = False, **arguments: Any) -> SqueezeNet:
    """SqueezeNet 1.0, 1.25 million parameters."""
    return create(SqueezeNet, "squeezenet1_0", LAYOUTS["1_0"], pretrained, version="1_0", **arguments)


@register_model
def squeezenet1_1(pretrained: bool = False, **arguments: Any) -> SqueezeNet:
    """SqueezeNet 1.1, 1.24 million parameters, 2.4 times less computation."""
    return create(SqueezeNet, "squeezenet1_1", LAYOUTS["1_1"], pretrained, version="1_1", **arguments)
