"""One linear layer on globally pooled features."""

import torch
from torch import nn

from zoo.contracts import FeatureInfo
from zoo.models.heads.options import one_of, probability
from zoo.models.heads.reading import tokens

POOLS = ("avg", "max", "catavgmax", "gem")


class Pooled(nn.Module):
    """Global pooling (average, maximum, both, or generalised mean), then a linear layer.

    pool: `avg`, `max`, `catavgmax` (average and maximum side by side, twice the width) or `gem` (see `GeM`).
    dropout: probability of dropping a pooled feature before the linear layer.
    Input: a feature map as `features` says; output: logits (B, K).
    """

    def __init__(self, features: FeatureInfo, num_classes: int, pool: str = "avg", dropout: float = 0.0) -> None:
        super().__init__()
        one_of(POOLS, pool=pool)
        probability(dropout=dropout)
        self.features = features
        self.pool = pool
        if pool == "gem":
            self.gem = GeM()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(features.channels * (2 if pool == "catavgmax" else 1), num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features, laid out as `features` says, to logits (B, K)."""
        return self.classifier(self.dropout(self._pooled(x)))

    def _pooled(self, x: torch.Tensor) -> torch.Tensor:
        x = tokens(x, self.features)
        match self.pool:
            case "avg":
                return x.mean(1)
            case "max":
                return x.amax(1)
            case "catavgmax":
                return torch.cat((x.mean(1), x.amax(1)), 1)
        return self.gem(x)


class GeM(nn.Module):
    """Generalised mean over positions, (B, N, D) -> (B, D), with a learned exponent (Radenovic et al. 2018).

    An exponent of 1 is the average, a large one nears the maximum; it starts at 3 (arXiv:1711.02512). Values below 1e-6
    count as 1e-6: the mean is one of features that are not negative, as after ReLU. Where the map is one position, any
    mean of it is itself, and the exponent learns nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(3.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # In float32 and relative to the largest value, so that no power leaves the range of numbers.
        """Features of positions (B, N, D) to pooled features (B, D)."""
        positive = x.float().clamp(min=1e-6)
        largest = positive.detach().amax(1, keepdim=True)
        p = self.p.float()
        return ((positive / largest).pow(p).mean(1).pow(1 / p) * largest.squeeze(1)).to(x.dtype)
