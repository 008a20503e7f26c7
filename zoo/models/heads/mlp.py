"""A multi-layer perceptron on pooled features."""

from itertools import pairwise

import torch
from torch import nn

from zoo.contracts import FeatureInfo


class Mlp(nn.Module):
    """Average pooling, then hidden layers with GELU, then a linear layer.

    hidden: width of each hidden layer; layers: how many of them; dropout: probability after each.
    Input: a feature map as `features` says; output: logits (B, K).
    """

    def __init__(
        self, features: FeatureInfo, num_classes: int, hidden: int = 512, layers: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if min(hidden, layers) < 1 or not 0 <= dropout < 1:
            raise ValueError(f"hidden={hidden}, layers={layers} must be at least 1 and dropout={dropout} in [0, 1)")
        widths = [features.channels, *[hidden] * layers]
        blocks = [nn.Sequential(nn.Linear(a, b), nn.GELU(), nn.Dropout(dropout)) for a, b in pairwise(widths)]
        self.features = features
        self.layers = nn.Sequential(nn.LayerNorm(widths[0]), *blocks)
        self.classifier = nn.Linear(widths[-1], num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.layers(average(x, self.features)))


def average(x: torch.Tensor, features: FeatureInfo) -> torch.Tensor:
    """Mean over positions of a feature map, prefix tokens left out: (B, D)."""
    match features.layout:
        case "NCHW":
            return x.mean((2, 3))
        case "NHWC":
            return x.mean((1, 2))
        case "NLC":
            return x[:, features.prefix_tokens :].mean(1)
    return x
