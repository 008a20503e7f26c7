"""Second-order pooling: products of features, averaged over positions."""

import torch
from torch import nn
from torch.nn import functional as F

from zoo.contracts import FeatureInfo
from zoo.models.heads.options import at_least_one, probability
from zoo.models.heads.reading import tokens


class Bilinear(nn.Module):
    """Low-rank bilinear pooling: averaged products of two projections, then a linear layer.

    Bilinear CNNs (Lin et al. 2015, arXiv:1504.07889) average the outer product of the features over positions, take the
    signed square root and normalise it. Here `rank` products of two learned projections stand for the D * D products
    (Kim et al. 2017, arXiv:1610.04325). The unit vector is scaled by sqrt(rank), so that its entries are about 1 and
    learn at the rate of other heads.

    rank: how many products; dropout: probability of dropping one before the linear layer.
    Input: a feature map as `features` says; output: logits (B, K).
    """

    def __init__(self, features: FeatureInfo, num_classes: int, rank: int = 512, dropout: float = 0.0) -> None:
        super().__init__()
        at_least_one(rank=rank)
        probability(dropout=dropout)
        self.features = features
        self.norm = nn.LayerNorm(features.channels)
        self.left = nn.Linear(features.channels, rank)
        self.right = nn.Linear(features.channels, rank)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(rank, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features, laid out as `features` says, to logits (B, K)."""
        x = self.norm(tokens(x, self.features))
        products = (self.left(x) * self.right(x)).mean(1)
        # the square root is infinitely steep at 0
        roots = products.sign() * (products.abs() + 1e-5).sqrt()
        pooled = F.normalize(roots, dim=1) * roots.shape[1] ** 0.5
        return self.classifier(self.dropout(pooled))
