"""Attention pooling: what a few learned queries gather from a feature map."""

import torch
from torch import nn

from zoo.contracts import FeatureInfo
from zoo.models.heads.options import at_least_one, divides, probability
from zoo.models.heads.reading import tokens


class Attention(nn.Module):
    """Learned queries attend to all positions, then a linear layer reads what they gathered.

    Multi-head attention pooling with latent queries (Set Transformer, Lee et al. 2019, arXiv:1810.00825).

    hidden: width of the queries and of what each gathers; heads: attention heads that share it, a divisor of `hidden`.
    queries: how many there are, read side by side. dropout: probability of dropping a gathered feature.
    Input: a feature map as `features` says; output: logits (B, K).
    """

    def __init__(
        self,
        features: FeatureInfo,
        num_classes: int,
        hidden: int = 512,
        heads: int = 8,
        queries: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        divides(heads=heads, hidden=hidden)
        at_least_one(queries=queries)
        probability(dropout=dropout)
        width = features.channels
        self.features = features
        self.norm = nn.LayerNorm(width)
        self.queries = nn.Parameter(torch.randn(1, queries, hidden) * hidden**-0.5)
        # timm's AttentionPoolLatent splits the backbone's own width, which `heads` does not always divide. The zero
        # position lets a query look away, without which it would learn nothing from a map of one position.
        self.attention = nn.MultiheadAttention(
            hidden, heads, kdim=width, vdim=width, batch_first=True, add_zero_attn=True
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(queries * hidden, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features, laid out as `features` says, to logits (B, K)."""
        x = self.norm(tokens(x, self.features))
        queries = self.queries.expand(x.shape[0], -1, -1)
        gathered, _ = self.attention(queries, x, x, need_weights=False)
        return self.classifier(self.dropout(gathered.flatten(1)))
