import pytest
import torch

from zoo.contracts import FeatureInfo
from zoo.models.heads.token_mean import TokenMean

X = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("prefix", [1, 3])
def test_class_token_beside_the_mean_of_the_patches(prefix):
    head = TokenMean(FeatureInfo(4, "NLC", (6,), prefix), 5)
    assert torch.equal(head(X), head.classifier(torch.cat((X[:, 0], X[:, prefix:].mean(1)), 1)))


def test_without_a_class_token_the_maximum_takes_its_place():
    head = TokenMean(FeatureInfo(4, "NLC", (6,)), 5)
    assert torch.equal(head(X), head.classifier(torch.cat((X.amax(1), X.mean(1)), 1)))
