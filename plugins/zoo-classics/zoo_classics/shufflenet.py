"""ShuffleNet v1: Zhang, Zhou, Lin and Sun 2017 (arXiv:1707.01083)."""

from typing import Any

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import ConvNormAct
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.byobnet import _init_weights
from torch import nn

from zoo_classics.staged import Staged

STEM = 24
FIRST = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
"""Groups -> channels of the first stage; each further stage has twice as many."""
REPEATS = (4, 8, 4)

default_cfgs = generate_default_cfgs(
    {
        "shufflenet_v1.untrained": {
            "input_size": (3, 224, 224),
            "mean": IMAGENET_DEFAULT_MEAN,
            "std": IMAGENET_DEFAULT_STD,
            "first_conv": "stem.0.conv",
            "classifier": "head.fc",
            "paper_ids": "arXiv:1707.01083",
        }
    }
)


class Unit(nn.Module):
    """Grouped 1×1, shuffle, depthwise 3×3, grouped 1×1; the input is added, or at stride 2 averaged and appended.

    (B, `in_chans`, H, W) to (B, `out_chans`, H, W), halved in height and width at stride 2.
    """

    def __init__(self, in_chans: int, out_chans: int, groups: int, stride: int = 1, first_groups: int = 0) -> None:
        """first_groups: of the first convolution, where not `groups`."""
        super().__init__()
        self.groups = groups
        middle = out_chans // 4
        self.pool = nn.AvgPool2d(3, stride=2, padding=1) if stride == 2 else None
        self.conv1 = ConvNormAct(in_chans, middle, 1, groups=first_groups or groups)
        self.conv2 = ConvNormAct(middle, middle, 3, stride=stride, groups=middle, apply_act=False)
        grown = out_chans - in_chans if stride == 2 else out_chans
        self.conv3 = ConvNormAct(middle, grown, 1, groups=groups, apply_act=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv3(self.conv2(shuffled(self.conv1(x), self.groups)))
        return (x + y if self.pool is None else torch.cat((self.pool(x), y), 1)).relu()


def shuffled(x: torch.Tensor, groups: int) -> torch.Tensor:
    """Channels dealt out, so that every group of the next convolution sees a part of every group before."""
    return x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


class ShuffleNetV1(Staged):
    """Three stages of units with grouped pointwise convolutions and shuffled channels."""

    def __init__(
        self,
        groups: int = 3,
        width: float = 1.0,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
    ) -> None:
        stem, *widths = channels(groups, width)
        units, before = [], stem
        for repeats, after in zip(REPEATS, widths, strict=True):
            # The stem has too few channels to be grouped.
            first = Unit(before, after, groups, stride=2, first_groups=0 if units else 1)
            units.append([first, *(Unit(after, after, groups) for _ in range(repeats - 1))])
            before = after
        super().__init__(
            nn.Sequential(ConvNormAct(in_chans, stem, 3, stride=2)),
            (nn.Sequential(nn.MaxPool2d(3, stride=2, padding=1), *units[0]), *(nn.Sequential(*u) for u in units[1:])),
            None,
            tuple(zip(range(4), (stem, *widths), (2, 8, 16, 32), strict=True)),
            num_classes=num_classes,
            in_chans=in_chans,
            global_pool=global_pool,
            drop_rate=drop_rate,
        )
        for module in self.modules():
            _init_weights(module)


def channels(groups: int, width: float) -> tuple[int, int, int, int]:
    """Channels of the stem and the three stages, rounded so that the groups divide them. Raises ValueError."""
    if groups not in FIRST:
        raise ValueError(f"groups={groups} must be one of {', '.join(map(str, FIRST))}")
    if width <= 0:
        raise ValueError(f"width={width} must be above 0")
    first = _nearest_multiple(FIRST[groups] * width, 4 * groups)
    return _nearest_multiple(STEM * width, groups), first, 2 * first, 4 * first


def _nearest_multiple(number: float, of: int) -> int:
    return max(round(number / of), 1) * of


@register_model
def shufflenet_v1(pretrained: bool = False, **arguments: Any) -> ShuffleNetV1:
    """ShuffleNet v1, 1.9 million parameters with 3 groups."""
    feature_cfg = {"flatten_sequential": True, "out_indices": (0, 1, 2, 3)}
    return build_model_with_cfg(ShuffleNetV1, "shufflenet_v1", pretrained, feature_cfg=feature_cfg, **arguments)
