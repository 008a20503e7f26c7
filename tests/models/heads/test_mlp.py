import torch
from torch import nn
from torch.nn import functional as F

from zoo.contracts import FeatureInfo
from zoo.models.heads.mlp import Mlp


def test_mlp_is_norm_then_hidden_layers_then_a_linear_layer():
    torch.manual_seed(0)
    head = Mlp(FeatureInfo(6, "NC"), 3, hidden=4, layers=2)
    shapes = [tuple(m.weight.shape) for m in head.modules() if isinstance(m, nn.Linear)]
    assert shapes == [(4, 6), (4, 4), (3, 4)]
    (norm, first, second), last = head.layers, head.classifier
    pooled = torch.arange(12.0).view(2, 6)
    x = F.gelu(F.layer_norm(pooled, (6,)) @ first[0].weight.T + first[0].bias)
    x = F.gelu(x @ second[0].weight.T + second[0].bias)
    assert torch.allclose(head(pooled), x @ last.weight.T + last.bias, atol=1e-6)
    assert norm.normalized_shape == (6,)
