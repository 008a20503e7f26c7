"""A sound method keeps every point; each fault is found at its point."""

import pytest
import torch
from torch import Tensor, nn
from verdict import failed, verdict

from zoo.contracts import At, Given, Seen
from zoo.testing import check_method

ZOO_CONTRACT = ">=1,<2"


class Sound(nn.Module):
    """Answers for an image and for its mirror image agree, beside a running mean of them.

    weight: of the disagreement.
    """

    def __init__(self, model: nn.Module, given: Given, weight: float = 1.0) -> None:
        super().__init__()
        self.model, self.weight = model, weight
        self.register_buffer("mean", torch.zeros(()))
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, seen: Seen, at: At) -> dict[str, Tensor]:
        one, other = self.model(seen.inputs), self.model(seen.inputs.flip(-1) + 0.1 * torch.randn(()))
        if self.training:
            self.mean.mul_(0.9).add_(0.1 * one.detach().mean())
        return {"loss": self.weight * (self.scale * one - other).square().mean(1) + (one - 1).square().mean(1)}

    def after_step(self, at: At) -> None: ...


class Labelled(Sound):
    """Needs labels."""

    def __init__(self, model: nn.Module, given: Given) -> None:
        if given.loss is None:
            raise ValueError("it needs labels")
        super().__init__(model, given)

    def classify(self, inputs: Tensor) -> Tensor:
        return self.model(inputs)


def test_a_sound_method():
    check_method(Sound)
    check_method(Sound, weight=0.5)
    check_method(Labelled)


def test_the_zoos_own_method():
    check_method("supervised")
    found = verdict("method", "supervised")
    assert set(found["ok"]) >= {"values", "gradients", "resuming", "eval mode", "classifying", "unknown option"}


class Mean(Sound):
    """One value for the batch."""

    def forward(self, seen: Seen, at: At) -> dict[str, Tensor]:
        return {"loss": super().forward(seen, at)["loss"].mean()}


class Copying(Sound):
    """Holds a copy of the model."""

    def __init__(self, model: nn.Module, given: Given) -> None:
        super().__init__(torch.nn.Sequential(model), given)


class Unused(Sound):
    """Has a parameter without use."""

    def __init__(self, model: nn.Module, given: Given) -> None:
        super().__init__(model, given)
        self.idle = nn.Parameter(torch.ones(3))


class Counting(Sound):
    """Keeps the number of its steps in Python."""

    def __init__(self, model: nn.Module, given: Given) -> None:
        super().__init__(model, given)
        self.count = 0

    def forward(self, seen: Seen, at: At) -> dict[str, Tensor]:
        self.count += self.training
        return {"loss": self.count * super().forward(seen, at)["loss"]}


class Restless(Sound):
    """Moves its buffer in eval mode too."""

    def forward(self, seen: Seen, at: At) -> dict[str, Tensor]:
        self.mean.add_(1)
        return super().forward(seen, at)


class Wide(Labelled):
    """Gives one logit too many."""

    def classify(self, inputs: Tensor) -> Tensor:
        return torch.cat([self.model(inputs)] * 2, 1)


class Refusing(Sound):
    """Takes nothing."""

    def __init__(self, model: nn.Module, given: Given) -> None:
        raise ValueError("no")


class Bare(nn.Module):
    """Has no after_step."""

    def __init__(self, model: nn.Module, given: Given) -> None:
        super().__init__()
        self.model = model


FAULTS = {
    Mean: {"values": "'loss' is () for 4 images ('with labels', 'without labels')"},
    Copying: {"same model": "another module with labels; another module without labels"},
    Unused: {"gradients": "none at 'idle' ('with labels', 'without labels')"},
    Counting: {"resuming": "after the step "},
    Restless: {"eval mode": "'mean' moved ('with labels', 'without labels')"},
    Wide: {"classifying": "(4, 10) for 4 images and 5 classes"},
    Refusing: {"building": "a ValueError with labels and without"},
    Bare: {"building": "no after_step(at)"},
}


@pytest.mark.parametrize("method", FAULTS, ids=lambda method: method.__name__)
def test_each_fault_is_found_at_its_point(method):
    found = failed("method", method)
    assert found.keys() == FAULTS[method].keys()
    for point, text in FAULTS[method].items():
        assert text in found[point]
