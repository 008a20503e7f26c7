"""The method `supervised`: the recipe's loss of the model's logits."""

import torch
from torch import nn
from torch.nn import functional as F

from zoo.contracts import At, Given, Seen
from zoo.methods.supervised import Supervised

AT = At(step=3, steps=10, epoch=1, batch=2)
SEEN = Seen(torch.randn(4, 5), torch.tensor([0, 2, 1, 2]), torch.ones(4), torch.arange(4))


def cross_entropy(logits, targets):
    return F.cross_entropy(logits, targets, reduction="none")


def test_the_loss_of_each_image():
    model = nn.Linear(5, 3)
    learner = Supervised(model, Given(loss=cross_entropy, classes=3))
    found = learner(SEEN, AT)
    assert list(found) == ["loss"] and found["loss"].shape == (4,)
    assert torch.equal(found["loss"], cross_entropy(model(SEEN.inputs), SEEN.targets))
    assert torch.equal(learner.classify(SEEN.inputs), model(SEEN.inputs))


def test_images_are_mixed_by_where_training_stands():
    places = []

    def mix(inputs, targets, at):
        places.append(at)
        return inputs.roll(1, 0), F.one_hot(targets, 3).float()

    model = nn.Linear(5, 3)
    found = Supervised(model, Given(loss=cross_entropy, mix=mix))(SEEN, AT)["loss"]
    shares = F.one_hot(SEEN.targets, 3).float()
    assert places == [AT] and torch.equal(found, cross_entropy(model(SEEN.inputs.roll(1, 0)), shares))


def test_features_are_not_mixed():
    top = nn.Linear(5, 3)
    learner = Supervised(nn.Linear(9, 3), Given(loss=cross_entropy, mix=lambda *_: 1 / 0)).on_features(top)
    assert learner.model is top and learner(SEEN, AT)["loss"].shape == (4,)


def test_the_parameters_of_a_loss_do_not_train():
    class Weighted(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

        def forward(self, logits, targets):
            return cross_entropy(logits * self.weight, targets)

    learner = Supervised(nn.Linear(5, 3), Given(loss=Weighted()))
    assert [name for name, _ in learner.named_parameters()] == ["model.weight", "model.bias"]
    assert learner(SEEN, AT)["loss"].shape == (4,)


def test_the_loss_is_computed_in_full_precision():
    learner = Supervised(nn.Linear(5, 3), Given(loss=cross_entropy))
    with torch.autocast("cpu", torch.bfloat16):
        assert learner(SEEN, AT)["loss"].dtype == torch.float32
