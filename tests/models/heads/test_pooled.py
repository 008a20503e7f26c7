import torch
from torch.nn import functional as F

from zoo.contracts import FeatureInfo
from zoo.models.heads.pooled import GeM, Pooled

INFO = FeatureInfo(6, "NCHW", (3, 2))
X = torch.randn(4, 6, 3, 2, generator=torch.Generator().manual_seed(0))


def test_by_default_it_is_a_linear_layer_on_the_average_and_nothing_else():
    head = Pooled(INFO, 5, dropout=0.0)
    assert {name: tuple(p.shape) for name, p in head.state_dict().items()} == {
        "classifier.weight": (5, 6),
        "classifier.bias": (5,),
    }
    assert torch.equal(head(X), head.classifier(X.mean((2, 3))))


def test_maximum_and_both():
    maximum, both = Pooled(INFO, 5, "max"), Pooled(INFO, 5, "catavgmax")
    assert torch.equal(maximum(X), maximum.classifier(X.amax((2, 3))))
    assert torch.equal(both(X), both.classifier(torch.cat((X.mean((2, 3)), X.amax((2, 3))), 1)))


def test_generalised_mean_goes_from_average_to_maximum():
    gem, x = GeM(), X.abs().flatten(2).transpose(1, 2)
    assert gem.p.item() == 3
    assert torch.allclose(gem(x), x.pow(3).mean(1).pow(1 / 3))
    gem.p.data.fill_(1.0)
    assert torch.allclose(gem(x), x.mean(1))
    gem.p.data.fill_(100.0)
    assert torch.allclose(gem(x), x.amax(1), rtol=0.05)


def test_generalised_mean_stays_finite():
    gem = GeM()
    for x in (torch.zeros(2, 6, 3), -X.flatten(2), 1e-9 * X.flatten(2), 1e4 * X.flatten(2)):
        x = x.clone().requires_grad_()
        gem(x).sum().backward()
        assert x.grad.isfinite().all() and gem.p.grad.isfinite().all()
    assert torch.allclose(gem(-X.abs()), torch.full((4, 3, 2), 1e-6))
    assert gem(F.relu(X).half()).dtype == torch.float16
