import pytest
import torch

from zoo.contracts import FeatureInfo
from zoo.models.heads.ml_decoder import MlDecoder

INFO = FeatureInfo(6, "NLC", (5,))
X = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("classes", "groups", "queries"),
    [(1, 100, 1), (2, 100, 2), (7, 3, 3), (7, 1, 1), (100, 100, 100), (101, 100, 51), (1000, 100, 100), (1001, 10, 10)],
)
def test_any_number_of_classes(classes, groups, queries):
    head = MlDecoder(INFO, classes, groups, hidden=8, heads=2)
    assert head.queries.shape == (queries, 8)
    found = head(X)
    assert found.shape == (4, classes)
    (found * torch.randn(found.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
    assert (head.weight.grad.abs().amax(1) > 0).all()


def test_each_query_answers_for_its_own_classes():
    head = MlDecoder(INFO, 7, groups=3, hidden=8, heads=2)
    found = torch.randn(4, 3, 8, generator=torch.Generator().manual_seed(0))
    own = [found[:, k // 3] @ head.weight[k] + head.bias[k] for k in range(7)]
    assert torch.allclose(head._answers(found), torch.stack(own, 1), atol=1e-6)


def test_queries_are_kept_but_not_learned():
    head = MlDecoder(INFO, 7, hidden=8, heads=2)
    assert "queries" in head.state_dict()
    assert "queries" not in dict(head.named_parameters())


def test_one_position_teaches_queries_and_keys_too():
    head = MlDecoder(INFO, 7, hidden=8, heads=2)
    (head(X[:, :1]) * torch.randn(4, 7, generator=torch.Generator().manual_seed(0))).sum().backward()
    for part in (*head.attention.in_proj_weight.grad.chunk(3), *head.attention.in_proj_bias.grad.chunk(3)):
        assert part.abs().max() > 1e-6
