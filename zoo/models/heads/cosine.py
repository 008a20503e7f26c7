"""A classifier that compares directions."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from zoo.contracts import FeatureInfo
from zoo.models.heads.options import positive, probability
from zoo.models.heads.reading import average


class Cosine(nn.Module):
    """Cosine similarity between averaged features and one learned direction per class.

    logits = scale * cos(x, w_k): features and weights are normalised, so no class wins by the length of its weights
    (Gidaris and Komodakis 2018, arXiv:1804.09501). The scale is learned as its logarithm and stays positive.

    scale: where it starts; logits lie in [-scale, scale]. dropout: probability of dropping an averaged feature.
    Input: a feature map as `features` says; output: logits (B, K).
    """

    def __init__(self, features: FeatureInfo, num_classes: int, scale: float = 16.0, dropout: float = 0.0) -> None:
        super().__init__()
        positive(scale=scale)
        probability(dropout=dropout)
        width = features.channels
        self.features = features
        self.dropout = nn.Dropout(dropout)
        self.weight = nn.Parameter(torch.randn(num_classes, width) * width**-0.5)
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features, laid out as `features` says, to logits (B, K)."""
        x = self.dropout(average(x, self.features))
        return self.log_scale.exp() * F.linear(_direction(x), _direction(self.weight))


def _direction(x: torch.Tensor) -> torch.Tensor:
    # torch's own eps of 1e-12 is 0 in float16, and its inverse too steep a slope for features that are all 0
    return F.normalize(x, dim=1, eps=1e-6)
