"""A recurrent network that reads the patches one after another."""

import torch
from torch import nn

from zoo.contracts import FeatureInfo
from zoo.models.heads.options import at_least_one, probability
from zoo.models.heads.reading import tokens


class Gru(nn.Module):
    """A GRU reads the positions row by row, then a linear layer reads its last state.

    Gated recurrent units after Cho et al. 2014 (arXiv:1406.1078). The state before the first position is learned, so
    that the recurrent weights have a gradient even where the map is one position.

    hidden: width of the state; layers: GRUs stacked on one another.
    bidirectional: a second GRU reads from the last position to the first, and both last states are read.
    dropout: probability of dropping a state's feature between layers and before the linear layer.
    Input: a feature map as `features` says; output: logits (B, K).
    """

    def __init__(
        self,
        features: FeatureInfo,
        num_classes: int,
        hidden: int = 256,
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        at_least_one(hidden=hidden, layers=layers)
        probability(dropout=dropout)
        directions = 2 if bidirectional else 1
        self.features = features
        self.norm = nn.LayerNorm(features.channels)
        self.start = nn.Parameter(torch.randn(layers * directions, 1, hidden) * hidden**-0.5)
        self.gru = nn.GRU(
            features.channels,
            hidden,
            layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if layers > 1 else 0.0,
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(directions * hidden, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features, laid out as `features` says, to logits (B, K)."""
        x = self.norm(tokens(x, self.features))
        start = self.start.expand(-1, x.shape[0], -1).contiguous()
        _, states = self.gru(x, start)
        last = states[-2:] if self.gru.bidirectional else states[-1:]
        return self.classifier(self.dropout(last.transpose(0, 1).flatten(1)))
