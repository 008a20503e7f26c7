"""ShuffleNet v2: Ma et al. 2018 (arXiv:1807.11164), in four widths."""

from typing import Any

from timm.models import generate_default_cfgs, register_model
from torchvision import models

from zoo_torchvision.layout import Layout
from zoo_torchvision.published import configuration, create
from zoo_torchvision.staged import Staged

REPEATS = (4, 8, 4)
CHANNELS = {
    "x0_5": (24, 48, 96, 192, 1024),
    "x1_0": (24, 116, 232, 464, 1024),
    "x1_5": (24, 176, 352, 704, 1024),
    "x2_0": (24, 244, 488, 976, 2048),
}
"""Channels of the stem, the three stages and the final convolution."""


def _layout(channels: tuple[int, ...]) -> Layout:
    first, *others = (tuple(f"stage{i + 2}.{j}" for j in range(repeats)) for i, repeats in enumerate(REPEATS))
    reductions = ((0, 2), (1, 8), (2, 16), (3, 32))
    widths = (*channels[:3], channels[4])
    return Layout(
        stem=("conv1.0", "conv1.1", "conv1.2"),
        stages=(("maxpool", *first), *others),
        final_conv=("conv5.0", "conv5.1", "conv5.2"),
        taps=tuple((stage, width, step) for (stage, step), width in zip(reductions, widths, strict=True)),
        head={"fc": "head.fc"},
    )


LAYOUTS = {width: _layout(channels) for width, channels in CHANNELS.items()}

default_cfgs = generate_default_cfgs(
    {f"shufflenet_v2_{w}.tv_in1k": configuration(f"shufflenet_v2_{w}", "stem.0", "1807.11164") for w in CHANNELS}
)


class ShuffleNetV2(Staged):
    """Three stages of units that split, convolve and shuffle channels, then a 1×1 convolution before pooling."""

    def __init__(
        self, width: str, num_classes: int = 1000, in_chans: int = 3, global_pool: str = "avg", drop_rate: float = 0.0
    ) -> None:
        """width: a key of `CHANNELS`."""
        source = models.ShuffleNetV2(list(REPEATS), list(CHANNELS[width]), num_classes=1)
        super().__init__(
            *LAYOUTS[width].parts(source, in_chans),
            num_classes=num_classes,
            in_chans=in_chans,
            global_pool=global_pool,
            drop_rate=drop_rate,
        )


def _create(width: str, pretrained: bool, arguments: dict[str, Any]) -> ShuffleNetV2:
    return create(ShuffleNetV2, f"shufflenet_v2_{width}", LAYOUTS[width], pretrained, width=width, **arguments)


@register_model
def shufflenet_v2_x0_5(pretrained: bool = False, **arguments: Any) -> ShuffleNetV2:
    """ShuffleNet v2 of half width, 1.4 million parameters."""
    return _create("x0_5", pretrained, arguments)


@register_model
def shufflenet_v2_x1_0(pretrained: bool = False, **arguments: Any) -> ShuffleNetV2:
    """ShuffleNet v2, 2.3 million parameters."""
    return _create("x1_0", pretrained, arguments)


@register_model
def shufflenet_v2_x1_5(pretrained: bool = False, **arguments: Any) -> ShuffleNetV2:
    """ShuffleNet v2 one and a half times as wide, 3.5 million parameters."""
    return _create("x1_5", pretrained, arguments)


@register_model
def shufflenet_v2_x2_0(pretrained: bool = False, **arguments: Any) -> ShuffleNetV2:
    """ShuffleNet v2 twice as wide, 7.4 million parameters."""
    return _create("x2_0", pretrained, arguments)
