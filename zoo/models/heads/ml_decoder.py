"""A decoder whose cost hardly grows with the number of classes."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from zoo.contracts import FeatureInfo
from zoo.models.heads.options import at_least_one, divides, probability
from zoo.models.heads.reading import tokens


class MlDecoder(nn.Module):
    """ML-Decoder, for many classes or labels: group queries attend to the map, each answers for a few classes.

    Ridnik et al. 2021 (arXiv:2111.12933): one transformer decoder layer without self-attention, queries that are not
    learned, and a linear layer of its own for each query. (timm's MLDecoder loops over groups, fixes its sizes and
    reads no NHWC map.) A zero position beside the others lets a query look away, also where the map is one position.

    groups: most queries there may be; class k is answered by query k // ceil(K / groups).
    hidden: width inside, the feed-forward layer has 4 times as much (in the paper 768 and 2048).
    heads: attention heads that share it, a divisor of `hidden`. dropout: probability, within the decoder layer.
    Input: a feature map as `features` says; output: logits (B, K).
    """

    def __init__(
        self,
        features: FeatureInfo,
        num_classes: int,
        groups: int = 100,
        hidden: int = 512,
        heads: int = 8,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        at_least_one(groups=groups)
        divides(heads=heads, hidden=hidden)
        probability(dropout=dropout)
        self.features = features
        self.share = math.ceil(num_classes / groups)
        self.register_buffer("queries", torch.randn(math.ceil(num_classes / self.share), hidden))
        self.embed = nn.Sequential(nn.LayerNorm(features.channels), nn.Linear(features.channels, hidden), nn.ReLU())
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(3))
        self.attention = nn.MultiheadAttention(hidden, heads, dropout, batch_first=True, add_zero_attn=True)
        self.feed_forward = nn.Sequential(
            nn.Linear(hidden, 4 * hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(4 * hidden, hidden)
        )
        self.dropout = nn.Dropout(dropout)
        self.weight = nn.Parameter(torch.randn(num_classes, hidden) * hidden**-0.5)
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features, laid out as `features` says, to logits (B, K)."""
        x = self.embed(tokens(x, self.features))
        queries = self.norms[0](self.queries).expand(x.shape[0], -1, -1)
        found, _ = self.attention(queries, x, x, need_weights=False)
        found = self.norms[1](queries + self.dropout(found))
        found = self.norms[2](found + self.dropout(self.feed_forward(found)))
        return self._answers(found)

    def _answers(self, found: torch.Tensor) -> torch.Tensor:
        """What each query found, (B, Q, D), to the logits (B, K) of its classes; the last query may have fewer."""
        queries, classes = found.shape[1], self.bias.shape[0]
        weight = F.pad(self.weight, (0, 0, 0, queries * self.share - classes)).unflatten(0, (queries, self.share))
        return torch.einsum("bqd,qsd->bqs", found, weight).flatten(1)[:, :classes] + self.bias
