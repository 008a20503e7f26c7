"""The class token beside the mean of the patches."""

import torch
from torch import nn

from zoo.contracts import FeatureInfo
from zoo.models.heads.options import probability
from zoo.models.heads.reading import average, tokens


class TokenMean(nn.Module):
    """Class token and mean of the patches side by side, then a linear layer.

    What DINOv2's linear evaluation reads (Oquab et al. 2023, arXiv:2304.07193). The class token is the first of the
    prefix tokens; other prefix tokens (registers, distillation) are left out. Where there is none, as in convolutional
    networks, the maximum over the positions takes its place, also one summary that is not the mean.

    dropout: probability of dropping a feature before the linear layer.
    Input: a feature map as `features` says; output: logits (B, K).
    """

    def __init__(self, features: FeatureInfo, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        probability(dropout=dropout)
        self.features = features
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(2 * features.channels, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features, laid out as `features` says, to logits (B, K)."""
        summary = x[:, 0] if self.features.prefix_tokens else tokens(x, self.features).amax(1)
        return self.classifier(self.dropout(torch.cat((summary, average(x, self.features)), 1)))
