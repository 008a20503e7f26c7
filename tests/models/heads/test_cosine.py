import torch
from torch.nn import functional as F

from zoo.contracts import FeatureInfo
from zoo.models.heads.cosine import Cosine

INFO = FeatureInfo(6, "NC")
X = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))


def test_logits_are_scaled_cosines():
    head = Cosine(INFO, 4, scale=9.0)
    expected = 9 * F.cosine_similarity(X.unsqueeze(1), head.weight.unsqueeze(0), dim=2)
    assert torch.allclose(head(X), expected, atol=1e-5)


def test_lengths_do_not_count():
    head = Cosine(INFO, 4)
    expected = head(X)
    head.weight.data *= torch.tensor([0.1, 1, 10, 100]).unsqueeze(1)
    assert torch.allclose(head(1000 * X), expected, atol=1e-4)
    assert head(X).abs().max() <= 16


def test_features_that_are_all_zero_leave_everything_finite():
    head, x = Cosine(INFO, 4), torch.zeros(2, 6, requires_grad=True)
    F.cross_entropy(head(x), torch.tensor([0, 1])).backward()
    assert x.grad.isfinite().all() and all(p.grad.isfinite().all() for p in head.parameters())
