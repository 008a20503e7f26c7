"""The backbone `pico-mixer`: a model that follows timm's own interface."""

from pathlib import Path

import torch
from timm.layers import ClassifierHead
from timm.models import build_model_with_cfg
from torch import nn

CONFIG = {
    "architecture": "pico-mixer",
    "input_size": (3, 64, 64),
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "first_conv": "stem.0",
    "classifier": "head.fc",
    "license": "mit",
}
"""timm's `pretrained_cfg`. Weights of your own: add `hf_hub_id` or `file`, and the normalisation that they want."""


class PicoMixer(nn.Module):
    """ConvMixer (arXiv:2201.09792): images (B, C, H, W) to features (B, width, H / patch, W / patch)."""

    def __init__(
        self,
        in_chans: int,
        num_classes: int,
        width: int,
        depth: int,
        patch: int,
        drop_rate: float = 0.0,
        global_pool: str = "avg",
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.num_features = self.head_hidden_size = width
        self.stem = layer(in_chans, width, patch, stride=patch)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))
        self.head = ClassifierHead(width, num_classes, global_pool, drop_rate)

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        return {"stem": r"^stem", "blocks": r"^blocks\.(\d+)"}

    def get_classifier(self) -> nn.Module:
        return self.head.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        self.num_classes = num_classes
        self.head.reset(num_classes, global_pool)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks(self.stem(x))

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        return self.head(x, pre_logits=pre_logits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(x))


class Block(nn.Module):
    """Mixes positions within each channel, then channels within each position."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.positions = layer(width, width, 5, padding=2, groups=width)
        self.channels = layer(width, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.channels(x + self.positions(x))


def layer(channels: int, width: int, kernel: int, **options: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, kernel, **options), nn.GELU(), nn.BatchNorm2d(width))


def pico_mixer(
    *, pretrained: bool | str | Path, in_chans: int = 3, width: int = 64, depth: int = 4, patch: int = 4
) -> nn.Module:
    """A small ConvMixer without published weights: `model.pretrained=false`.

    width: channels; depth: blocks; patch: side in pixels of a patch.
    """
    sizes = {"width": width, "depth": depth, "patch": patch}
    return build_model_with_cfg(PicoMixer, "pico-mixer", pretrained, pretrained_cfg=CONFIG, in_chans=in_chans, **sizes)
