import torch
from small import logits

from zoo.contracts import FeatureInfo
from zoo.models.heads.multi_dropout import MultiDropout

INFO = FeatureInfo(6, "NC")
X = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))


def head(samples: int, dropout: float = 0.5) -> MultiDropout:
    torch.manual_seed(0)
    return MultiDropout(INFO, 4, samples, dropout, hidden=16)


def test_training_logits_are_the_average_over_masks():
    made = head(5).train()
    torch.manual_seed(1)
    found = made(X)
    torch.manual_seed(1)
    masks = made.dropout(torch.ones(3, 5, 6))
    expected = sum(made.layers(made.norm(X) * mask) for mask in masks.unbind(1)) / 5
    assert torch.allclose(found, expected, atol=1e-6)
    assert len({tuple(mask.tolist()) for mask in masks.flatten(0, 1)}) > 5  # masks of their own


def test_more_masks_give_a_steadier_average():
    one, many = (
        torch.stack([made(X) for _ in range(50)]).std(0).mean() for made in (head(1).train(), head(16).train())
    )
    assert many < 0.5 * one


def test_in_eval_there_is_one_pass_without_dropout():
    assert torch.equal(logits(head(1), X), logits(head(64), X))
    assert torch.allclose(head(3, 0.0).train()(X), logits(head(3), X), atol=1e-6)
