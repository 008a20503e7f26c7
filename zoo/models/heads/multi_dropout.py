"""Several dropout masks at once on the same features."""

import torch
from torch import nn

from zoo.contracts import FeatureInfo
from zoo.models.heads.options import at_least_one, probability
from zoo.models.heads.reading import average


class MultiDropout(nn.Module):
    """Multi-sample dropout: a small perceptron sees each image under several dropout masks.

    After Inoue 2019 (arXiv:1905.09788): in training, dropout and all layers above it are applied `samples` times with
    shared weights, in eval once without dropout. The paper averages the losses of the samples; a head gives one set of
    logits, so here the logits are averaged. Hence the hidden layer: on a linear layer alone, the average over masks
    would be nothing but a weaker dropout.

    samples: masks per image; dropout: probability of dropping an averaged feature; hidden: width of the hidden layer.
    Input: a feature map as `features` says; output: logits (B, K).
    """

    def __init__(
        self, features: FeatureInfo, num_classes: int, samples: int = 8, dropout: float = 0.5, hidden: int = 512
    ) -> None:
        super().__init__()
        at_least_one(samples=samples, hidden=hidden)
        probability(dropout=dropout)
        self.features = features
        self.samples = samples
        self.norm = nn.LayerNorm(features.channels)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(nn.Linear(features.channels, hidden), nn.GELU(), nn.Linear(hidden, num_classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features, laid out as `features` says, to logits (B, K)."""
        x = self.norm(average(x, self.features))
        if not self.training:
            return self.layers(x)
        copies = x.unsqueeze(1).expand(-1, self.samples, -1)
        return self.layers(self.dropout(copies)).mean(1)
