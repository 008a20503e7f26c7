"""The head `prototypes`: a class is a point among the features, an image belongs to the nearest."""

import torch
from torch import nn

from zoo.contracts import FeatureInfo


class Prototypes(nn.Module):
    """One learned prototype per class; logits are negative squared distances (arXiv:1703.05175).

    scale: factor on the mean squared distance; larger is surer.
    Input: a feature map as `features` says; output: logits (B, K).
    """

    def __init__(self, features: FeatureInfo, num_classes: int, scale: float = 10.0) -> None:
        super().__init__()
        if scale <= 0:
            raise ValueError(f"scale={scale} must be above 0")
        self.features, self.scale = features, scale
        self.norm = nn.LayerNorm(features.channels)
        self.prototypes = nn.Parameter(torch.randn(num_classes, features.channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        points = self.norm(self.pool(x))
        return -self.scale * (points[:, None] - self.prototypes).square().mean(2)

    def pool(self, x: torch.Tensor) -> torch.Tensor:
        """Mean over positions (B, C); tokens that are no patches are left out."""
        match self.features.layout:
            case "NCHW":
                return x.mean((2, 3))
            case "NHWC":
                return x.mean((1, 2))
            case "NLC":
                return x[:, self.features.prefix_tokens :].mean(1)
        return x
