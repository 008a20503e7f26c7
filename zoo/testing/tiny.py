"""A small backbone for trying heads: two convolutions whose features come in any layout."""

import torch
from torch import Tensor, nn

from zoo.contracts import FeatureInfo

IMAGE_SIZE = 16


class Tiny(nn.Module):
    """Images (B, 3, 16, 16) -> features as `features` says."""

    pretrained_cfg = {"input_size": (3, IMAGE_SIZE, IMAGE_SIZE)}  # noqa: RUF012

    def __init__(self, features: FeatureInfo) -> None:
        super().__init__()
        self.features, self.num_features = features, features.channels
        self.num_prefix_tokens = features.prefix_tokens
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.stages = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(8, features.channels, 1), nn.BatchNorm2d(features.channels))]
        )
        self.pool = nn.AdaptiveAvgPool2d(self._side())
        self.prefix = nn.Parameter(torch.randn(features.prefix_tokens, features.channels))

    def _side(self) -> int:
        """Height and width of the map before it is laid out."""
        match self.features.layout:
            case "NC":
                return 1
            case "NLC":
                return round((self.features.size[0] - self.features.prefix_tokens) ** 0.5)
        return self.features.size[0]

    def forward_features(self, x: Tensor) -> Tensor:
        """Images (B, 3, 16, 16) to features (B, ...), laid out as `self.features` says."""
        x = self.pool(self.stages[0](self.stem(x)))
        match self.features.layout:
            case "NC":
                return x.flatten(1)
            case "NHWC":
                return x.permute(0, 2, 3, 1)
            case "NLC":
                return torch.cat([self.prefix.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1)
        return x
