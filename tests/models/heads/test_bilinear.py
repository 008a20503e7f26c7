import torch
from torch.nn import functional as F

from zoo.contracts import FeatureInfo
from zoo.models.heads.bilinear import Bilinear

INFO = FeatureInfo(6, "NLC", (5,))
X = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(0))


def test_products_stand_for_the_outer_product_of_the_features():
    torch.manual_seed(0)
    head = Bilinear(INFO, 4, rank=7)
    head.left.bias.data.zero_()
    head.right.bias.data.zero_()
    x = F.layer_norm(X, (6,))
    outer = torch.einsum("bnd,bne->bde", x, x) / 5
    products = torch.einsum("rd,bde,re->br", head.left.weight, outer, head.right.weight)
    roots = products.sign() * products.abs().sqrt()
    expected = head.classifier(7**0.5 * roots / roots.norm(dim=1, keepdim=True))
    assert torch.allclose(head(X), expected, atol=2e-3)


def test_products_that_are_zero_leave_everything_finite():
    head, x = Bilinear(INFO, 4, rank=7), torch.ones(2, 5, 6, requires_grad=True)
    head.left.bias.data.zero_()
    head(x).sum().backward()
    assert x.grad.isfinite().all() and all(p.grad.isfinite().all() for p in head.parameters())
