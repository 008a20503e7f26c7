"""A multi-layer perceptron on pooled features."""

from itertools import pairwise

import torch
from torch import nn

from zoo.contracts import FeatureInfo
from zoo.models.heads.options import at_least_one, probability
from zoo.models.heads.reading import average


class Mlp(nn.Module):
    """Average pooling, then hidden layers with GELU, then a linear layer.

    hidden: width of each hidden layer; layers: how many of them; dropout: probability after each.
    Input: a feature map as `features` says; output: logits (B, K).
    """

    def __init__(
        self, features: FeatureInfo, num_classes: int, hidden: int = 512, layers: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        at_least_one(hidden=hidden, layers=layers)
        probability(dropout=dropout)
        widths = [features.channels, *[hidden] * layers]
        blocks = [nn.Sequential(nn.Linear(a, b), nn.GELU(), nn.Dropout(dropout)) for a, b in pairwise(widths)]
        self.features = features
        self.layers = nn.Sequential(nn.LayerNorm(widths[0]), *blocks)
        self.classifier = nn.Linear(widths[-1], num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features, laid out as `features` says, to logits (B, K)."""
        return self.classifier(self.layers(average(x, self.features)))
