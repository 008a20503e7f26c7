"""A sound head keeps every point; each fault is found at its point."""

import random
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from verdict import failed, verdict

from zoo.contracts import FeatureInfo
from zoo.errors import ContractError
from zoo.testing import check_head

ZOO_CONTRACT = ">=1,<2"


class Sound(nn.Module):
    """Mean over positions, then a linear layer. dropout: probability of dropping a feature."""

    def __init__(self, features: FeatureInfo, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout} must lie in [0, 1)")
        self.features, self.dropout = features, nn.Dropout(dropout)
        self.classifier = nn.Linear(features.channels, num_classes)

    def pool(self, x):
        match self.features.layout:
            case "NCHW":
                return x.mean((2, 3))
            case "NHWC":
                return x.mean((1, 2))
            case "NLC":
                return x[:, self.features.prefix_tokens :].mean(1)
        return x

    def read(self, x):
        return self.classifier(self.dropout(x))

    def forward(self, x):
        return self.read(self.pool(x))


class TokensOnly(Sound):
    """Reads the mean of all tokens."""

    def __init__(self, features: FeatureInfo, num_classes: int) -> None:
        if features.layout != "NLC":
            raise ValueError(f"reads tokens (NLC) only, found {features.layout}")
        super().__init__(features, num_classes)


class Normed(Sound):
    """With batch norm over positions, which a batch of one image can do too."""

    def __init__(self, features: FeatureInfo, num_classes: int) -> None:
        if features.layout != "NCHW":
            raise ValueError("reads NCHW only")
        super().__init__(features, num_classes)
        self.norm = nn.BatchNorm2d(features.channels)

    def pool(self, x):
        return super().pool(self.norm(x))


class Recurrent(Sound):
    """A GRU over positions: one position leaves its recurrent weights without a gradient, and that is fine."""

    def __init__(self, features: FeatureInfo, num_classes: int) -> None:
        super().__init__(features, num_classes)
        self.gru = nn.GRU(features.channels, features.channels, batch_first=True)

    def pool(self, x):
        rows = {"NCHW": lambda: x.flatten(2).transpose(1, 2), "NHWC": lambda: x.flatten(1, 2), "NC": lambda: x[:, None]}
        return self.gru(rows.get(self.features.layout, lambda: x)())[0][:, -1]


@pytest.mark.parametrize("head", [Sound, TokensOnly, Normed, Recurrent])
def test_a_sound_head(head):
    told = verdict("head", head)
    assert (told["failed"], told["warning"]) == ({}, {})
    assert told["skipped"].keys() == {"licence"}  # this file belongs to no distribution
    assert {"building", "classes", "gradients", "saving", "freezing", "bfloat16"} <= told["ok"].keys()


def test_a_sound_head_with_options():
    check_head(Sound, dropout=0.5)


@pytest.mark.parametrize("name", ["linear", "mlp", "timm-zoo:mlp"])
def test_the_zoos_own_by_name(name):
    check_head(name)


class IgnoresClasses(Sound):
    """Ten classes, whatever is asked."""

    def __init__(self, features: FeatureInfo, num_classes: int) -> None:
        super().__init__(features, 10)


class Norm1d(Sound):
    """Batch norm of pooled features."""

    def __init__(self, features: FeatureInfo, num_classes: int) -> None:
        super().__init__(features, num_classes)
        self.norm = nn.BatchNorm1d(features.channels)

    def read(self, x):
        return self.classifier(self.norm(x))


class Remembers(Sound):
    """Adds what it saw last."""

    last = 0.0

    def read(self, x):
        now, self.last = self.last, float(x.mean())
        return self.classifier(x) + now


class KeepsGraph(Sound):
    """Keeps its features for someone to look at."""

    def read(self, x):
        self.seen = self.classifier(x)
        return self.seen


class Unused(Sound):
    """A layer that forward forgets."""

    def __init__(self, features: FeatureInfo, num_classes: int) -> None:
        super().__init__(features, num_classes)
        self.spare = nn.Linear(3, 3)


class Silent(Sound):
    """A factor that is always multiplied by zero."""

    def __init__(self, features: FeatureInfo, num_classes: int) -> None:
        super().__init__(features, num_classes)
        self.gain = nn.Parameter(torch.ones(1))

    def read(self, x):
        return self.classifier(x) + 0 * self.gain


class ThroughData(Sound):
    """Multiplies with .data."""

    def read(self, x):
        return x @ self.classifier.weight.data.T + self.classifier.bias


class Detaches(Sound):
    """Hides the features from autograd."""

    def read(self, x):
        return self.classifier(x.detach())


class InPlace(Sound):
    """Scales its input where it lies."""

    def pool(self, x):
        return super().pool(x.mul_(0.5))


class Viewing(Sound):
    """Flattens with view."""

    def pool(self, x):
        return super().pool(x.view(len(x), -1).view(x.shape))


class OverBatch(Sound):
    """Subtracts the mean of the batch."""

    def read(self, x):
        return self.classifier(x - x.mean(0))


class PlainTensor(Sound):
    """A random projection that is not saved."""

    def __init__(self, features: FeatureInfo, num_classes: int) -> None:
        super().__init__(features, num_classes)
        self.projection = torch.randn(features.channels, features.channels)

    def read(self, x):
        return self.classifier(x @ self.projection)


class ExtraState(Sound):
    """Saves a dictionary."""

    def get_extra_state(self):
        return {"seen": 1}

    def set_extra_state(self, state):
        pass


class NotBf16(Sound):
    """Mixes dtypes by hand."""

    def read(self, x):
        logits = self.classifier(x)
        return torch.lerp(logits, torch.zeros(logits.shape), 0.5)


class Overflows(Sound):
    """Divides by what may be nothing."""

    def read(self, x):
        return self.classifier(x) / (x - x).sum(1, keepdim=True)


class Rewrites(Sound):
    """Normalises its weight in forward."""

    def read(self, x):
        with torch.no_grad():
            self.classifier.weight.copy_(F.normalize(self.classifier.weight))
        return self.classifier(x)


class Unfreezes(Sound):
    """Lets everything train again."""

    def train(self, mode=True):
        for parameter in self.parameters():
            parameter.requires_grad_(True)
        return super().train(mode)


class AlwaysDrops(Sound):
    """Dropout that never stops."""

    def read(self, x):
        return self.classifier(F.dropout(x, 0.5))


class Auxiliary(Sound):
    """Two outputs while training."""

    def forward(self, x):
        logits = super().forward(x)
        return (logits, logits) if self.training else logits


class Leaves(Sound):
    """Ends the program."""

    def __init__(self, features: FeatureInfo, num_classes: int) -> None:
        sys.exit(3)


class Table(Sound):
    """Knows two layouts and trips over the others."""

    def __init__(self, features: FeatureInfo, num_classes: int) -> None:
        super().__init__(features, num_classes)
        self.axes = {"NCHW": (2, 3), "NLC": (1,)}[features.layout]


class Speechless(Sound):
    """Refuses without a word."""

    def __init__(self, features: FeatureInfo, num_classes: int) -> None:
        if features.layout == "NC":
            raise ValueError
        super().__init__(features, num_classes)


class RefusesAll(Sound):
    """Refuses everything."""

    def __init__(self, features: FeatureInfo, num_classes: int) -> None:
        raise ValueError("not today")


class Seeds(Sound):
    """Begins from the same weights whatever the seed."""

    def __init__(self, features: FeatureInfo, num_classes: int) -> None:
        torch.manual_seed(7)
        super().__init__(features, num_classes)


def function(features: FeatureInfo, num_classes: int):
    """No module at all."""
    return lambda x: x


FAULTS = {
    IgnoresClasses: {"classes": "(2, 10) for 2 images and 1 classes", "train mode": "for 1 images and 5 classes"},
    Norm1d: {"train mode": "Expected more than 1 value per channel when training"},
    Remembers: {"eval mode": "they differ by up to"},
    KeepsGraph: {"copying": "deepcopy"},
    Unused: {"gradients": "none at 'spare.weight', 'spare.bias'"},
    Silent: {"gradients": "all zeros at 'gain'"},
    ThroughData: {"gradients": "none at 'classifier.weight'"},
    Detaches: {"gradients": "none at the features"},
    InPlace: {"inputs": "the input was changed in place"},
    Viewing: {"memory layout": "view"},
    OverBatch: {"one by one": "they differ by up to"},
    PlainTensor: {"saving": "they differ by up to"},
    ExtraState: {"saving": "no tensor at '_extra_state'"},
    NotBf16: {"bfloat16": "RuntimeError"},
    Overflows: {"eval mode": "NaN or infinite logits", "gradients": "NaN or infinity"},
    Rewrites: {"eval mode": "'classifier.weight' moved", "freezing": "the frozen 'head.classifier.weight' moved"},
    Unfreezes: {"freezing": "its train() changed requires_grad of 'head.classifier.weight', 'head.classifier.bias'"},
    AlwaysDrops: {"eval mode": "they differ by up to"},
    Auxiliary: {"train mode": "a tuple for 1 images"},
    Leaves: {"building": "it raised SystemExit: 3"},
    Table: {"building": "it raised KeyError: 'NHWC'"},
    Speechless: {"building": "a ValueError without a text for NC"},
    RefusesAll: {"building": "every layout is refused: not today"},
    Seeds: {"building": "it sets torch's random seed"},
    function: {"building": "a function"},
}


@pytest.mark.parametrize("head", FAULTS, ids=lambda head: head.__name__)
def test_each_fault_is_found(head):
    found = failed("head", head)
    for point, text in FAULTS[head].items():
        assert text in found[point]
    assert not found.keys() & {"docstring", "annotations", "no pickles", "contract range"}


@pytest.mark.parametrize("head", [Leaves, RefusesAll, function], ids=lambda head: head.__name__)
def test_what_does_not_build_is_told_once(head):
    assert failed("head", head).keys() == {"building"}


class Wordless(Sound):
    def __init__(self, features: FeatureInfo, num_classes: int, hidden=8, depth: int = 0.5, **more) -> None:
        super().__init__(features, num_classes)


class Careless(Sound):
    """A hidden layer. hidden: its width."""

    def __init__(self, features: FeatureInfo, num_classes: int, hidden: int = 8) -> None:
        super().__init__(features, num_classes)
        print("built with", hidden)
        self.hidden = nn.Linear(features.channels, hidden, bias=False)
        self.classifier = nn.Linear(hidden, num_classes)

    def read(self, x):
        return self.classifier(self.hidden(x))


def test_what_is_written_is_checked():
    told = verdict("head", Wordless)
    assert told["failed"]["docstring"] == ["there is none"]
    assert told["failed"]["annotations"] == [
        "option 'hidden' has no annotation", "option 'depth: int' expected int, found 0.5 as its default",
    ]  # fmt: skip
    assert told["warning"]["annotations"] == ["**more takes any option, typing errors too"]
    assert told["failed"]["unknown option"] == ["an_option_that_nobody_declared=1 was taken without a word"]


def test_habits_and_odd_values_are_warnings(capsys):
    told = verdict("head", Careless)
    assert told["failed"] == {}
    assert told["warning"]["building"][0].startswith("it prints 'built with 8'")
    assert told["warning"]["option range"][0].startswith("hidden=-1 raised RuntimeError: ")
    check_head(Careless)  # warnings do not fail


def test_the_error_tells_everything_at_once():
    class Twice(Unused):
        def forward(self, x):
            return super().forward(x.add_(random.random()))

    with pytest.raises(ContractError) as caught:
        check_head(Twice)
    points = [line.split(": ")[1] for line in str(caught.value).splitlines()]
    assert {"docstring", "gradients", "inputs", "eval mode"} <= set(points)
    assert caught.value.faults == tuple(str(caught.value).splitlines())
    line = next(f for f in caught.value.faults if ": docstring: " in f)
    assert line == (
        "head test_the_error_tells_everything_at_once.<locals>.Twice: docstring: asked: A docstring says what the part is "
        "and what its options mean. Found: there is none. Fix: write one under Twice; its first line is listed."
    )


def test_an_option_without_default_must_be_given():
    class Needy(Sound):
        """A head of some width. width: how many."""

        def __init__(self, features: FeatureInfo, num_classes: int, width: int) -> None:
            super().__init__(features, num_classes)

    told = verdict("head", Needy)
    assert told["failed"] == {}
    assert told["skipped"]["building"] == ["it needs width=..., which has no default; pass it to check_head"]
    assert "building" in verdict("head", Needy, width=3)["ok"]
