"""How a head reads a feature map of any layout."""

import torch

from zoo.contracts import FeatureInfo


def tokens(x: torch.Tensor, features: FeatureInfo) -> torch.Tensor:
    """The positions as a sequence, row by row, prefix tokens left out; pooled features are one position: (B, N, D)."""
    match features.layout:
        case "NCHW":
            return x.flatten(2).transpose(1, 2)
        case "NHWC":
            return x.flatten(1, 2)
        case "NLC":
            return x[:, features.prefix_tokens :]
    return x.unsqueeze(1)


def average(x: torch.Tensor, features: FeatureInfo) -> torch.Tensor:
    """Mean over positions, prefix tokens left out: (B, D)."""
    return tokens(x, features).mean(1)
