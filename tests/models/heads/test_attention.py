import torch
from small import logits
from torch.nn import functional as F

from zoo.contracts import FeatureInfo
from zoo.models.heads.attention import Attention

INFO = FeatureInfo(6, "NLC", (5,))
X = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(0))


def test_it_is_attention_over_the_positions_and_a_zero():
    torch.manual_seed(0)
    head = Attention(INFO, 4, hidden=8, heads=2, queries=3)
    parts, x = head.attention, F.layer_norm(X, (6,))
    to_q, to_k, to_v = parts.q_proj_weight, parts.k_proj_weight, parts.v_proj_weight
    parts.in_proj_bias.data.normal_()
    q, k, v = (
        (given @ weight.T + bias).unflatten(-1, (2, 4)).transpose(1, 2)
        for given, weight, bias in zip(
            (head.queries, x, x), (to_q, to_k, to_v), parts.in_proj_bias.chunk(3), strict=True
        )
    )
    scores = F.pad(q @ k.transpose(-2, -1) / 2, (0, 1))  # the zero position: score 0, value 0
    assert scores.shape == (3, 2, 3, 6)
    gathered = (scores.softmax(-1)[..., :5] @ v).transpose(1, 2).flatten(2)
    expected = head.classifier(parts.out_proj(gathered).flatten(1))
    assert torch.allclose(head(X), expected, atol=1e-6)


def test_the_order_of_positions_does_not_count():
    head = Attention(INFO, 4, hidden=8, heads=2)
    assert torch.allclose(logits(head, X), logits(head, X.flip(1)), atol=1e-6)
