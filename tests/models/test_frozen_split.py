"""The frozen bottom of a model, cut off: the same logits, the same gradients, and no cut where it would not be exact."""

import pytest
import torch
from small import classifier, images
from torch import nn

from zoo.contracts import Phase
from zoo.models.frozen_split import FrozenPrefix, frozen_prefix
from zoo.models.param_groups import Groups, parameter_groups
from zoo.training.freezing import freeze, set_train_mode

FAMILIES = {
    "test_resnet": 32,
    "test_vit": 160,
    "test_efficientnet": 32,
    "test_convnext": 32,
    "densenet121": 32,
    "mobilenetv3_small_050": 32,
    "regnetx_002": 32,
    "vgg11": 32,
}


def cut_below(model: nn.Module, groups: Groups, first: int, size: int) -> FrozenPrefix | None:
    """The cut of a phase that trains the groups from the `first` on."""
    phase = Phase(1, tuple(groups)[first:])
    freeze(model, groups, phase)
    set_train_mode(model, False)
    return frozen_prefix(model, images(2, size))


@pytest.mark.parametrize("head", ["linear", "attention"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_cut_model_gives_the_same_logits_and_gradients(family, head):
    size = FAMILIES[family]
    model = classifier(family, size, head)
    groups = parameter_groups(model, size)
    x = images(3, size, seed=1)
    for first in range(2, len(groups), max(1, len(groups) // 3)):
        cut = cut_below(model, groups, first, size)
        assert cut is not None and cut.last, (family, first)
        trained = [p for p in model.parameters() if p.requires_grad]
        modes = {name: module.training for name, module in model.named_modules()}
        state = {name: tensor.clone() for name, tensor in model.state_dict().items()}

        torch.manual_seed(5)
        whole = model(x)
        expected = torch.autograd.grad(whole.square().sum(), trained, allow_unused=True)
        moved = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        model.load_state_dict(state)

        with torch.inference_mode():
            features = cut.features(x).clone()
        torch.manual_seed(5)
        cut.open()
        parted = cut.top(torch.tensor(features.numpy()))
        found = torch.autograd.grad(parted.square().sum(), trained, allow_unused=True)
        cut.close()

        assert torch.equal(parted, whole), (family, first)
        assert all(torch.equal(a, b) if a is not None else b is None for a, b in zip(expected, found, strict=True))
        assert all(torch.equal(tensor, moved[name]) for name, tensor in model.state_dict().items())
        assert {name: module.training for name, module in model.named_modules()} == modes
        model.load_state_dict(state)


def test_features_depend_on_what_is_below_and_on_nothing_else():
    model = classifier("test_resnet")
    cut = cut_below(model, groups := parameter_groups(model, 32), 3, 32)
    below = {id(tensor) for tensor in cut.below}
    names = {name for name, tensor in model.state_dict(keep_vars=True).items() if id(tensor) in below}
    assert {n for n, _ in model.named_parameters() if n in names} == {n for g in tuple(groups)[:3] for n in groups[g]}
    assert "layer2.0.bn1.running_mean" in names and not any(
        name.startswith(("layer3", "layer4", "fc")) for name in names
    )


def test_a_dropout_above_stays_where_it_is():
    model = classifier("test_resnet", head={"name": "linear", "dropout": 0.5})
    cut = cut_below(model, parameter_groups(model, 32), 5, 32)
    features = cut.features(images())
    cut.open()
    model.train()
    assert not torch.equal(model(features), model(features))
    cut.close()


def test_no_cut_where_nothing_is_frozen_or_the_stem_trains():
    model = classifier("test_resnet")
    groups = parameter_groups(model, 32)
    assert cut_below(model, groups, 0, 32) is None
    freeze(model, groups, Phase(1, ("stem", "head")))
    set_train_mode(model, False)
    assert frozen_prefix(model, images(2)) is None


class Twice(nn.Module):
    """Looks at the image again behind its frozen stem."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.top = nn.Conv2d(3, 4, 1), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.top(self.stem(x).mean((2, 3)) + x.mean())


class Pair(nn.Module):
    """Two tensors cross between its frozen stem and the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.side, self.top = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.top((self.stem(x) * self.side(x)).mean((2, 3)))


@pytest.mark.parametrize("kind", [Twice, Pair])
def test_no_cut_that_changes_the_logits(kind):
    model = kind()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("top"))
    set_train_mode(model, False)
    assert frozen_prefix(model, images(2)) is None
    assert torch.equal(model(images(2)), model(images(2)))
    assert not any("forward" in module.__dict__ for module in model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_several_backbones_are_not_cut():
    model = classifier("test_resnet", head="mlp", concat=["test_efficientnet"])
    assert cut_below(model, parameter_groups(model, 32), 2, 32) is None
