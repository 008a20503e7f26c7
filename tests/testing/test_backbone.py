"""A sound backbone keeps every point; each fault is found at its point."""

from typing import Any

import pytest
import timm
import torch
from timm.models import build_model_with_cfg
from torch import nn
from verdict import failed, verdict

from zoo.errors import ContractError
from zoo.testing import check_backbone

ZOO_CONTRACT = ">=1,<2"
CONFIG = {
    "architecture": "sound",
    "input_size": (3, 32, 32),
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "interpolation": "bicubic",
    "first_conv": "stem.0",
    "classifier": "head",
}


class Sound(nn.Module):
    """Images (B, C, H, W) -> features (B, 16, H / 4, W / 4), a learned shift of all positions as `token`."""

    def __init__(self, in_chans: int, num_classes: int = 1000, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.num_classes, self.num_features = num_classes, 16
        self.token = nn.Parameter(torch.zeros(8, 1, 1))
        self.stem = nn.Sequential(nn.Conv2d(in_chans, 8, 3, 2, 1), self.norm(8), nn.ReLU())
        self.stages = nn.Sequential(
            nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), self.norm(16), nn.ReLU()),
            nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1), self.norm(16), nn.ReLU()),
        )
        self.drop = nn.Dropout(drop_rate)
        self.head = nn.Linear(16, num_classes)

    def norm(self, width: int) -> nn.Module:
        return nn.BatchNorm2d(width)

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        return {"stem": r"^stem|^token", "blocks": r"^stages\.(\d+)"}

    def get_classifier(self) -> nn.Module:
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        self.num_classes = num_classes
        self.head = nn.Linear(16, num_classes) if num_classes else nn.Identity()

    def forward_features(self, x: torch.Tensor) -> Any:
        return self.stages(self.stem(x) + self.token)

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        x = self.drop(x.mean((2, 3)))
        return x if pre_logits else self.head(x)

    def forward(self, x: torch.Tensor) -> Any:
        return self.forward_head(self.forward_features(x))


def factory(model: type[nn.Module], **config: Any):
    """A backbone as a plugin writes it."""

    def build(*, pretrained: bool = False, in_chans: int = 3, drop_rate: float = 0.0) -> nn.Module:
        """A small network. drop_rate: dropout before the classifier."""
        cfg = {**CONFIG, **config}
        return build_model_with_cfg(
            model, "sound", pretrained, pretrained_cfg=cfg, in_chans=in_chans, drop_rate=drop_rate
        )

    return build


def test_a_sound_backbone():
    told = verdict("backbone", factory(Sound))
    assert (told["failed"], told["warning"]) == ({}, {})
    assert told["skipped"].keys() == {"licence"}
    assert {"features", "classes", "group matcher", "greyscale", "image sizes", "heads", "freezing"} <= told[
        "ok"
    ].keys()


def test_options_and_image_size_are_given():
    check_backbone(factory(Sound), image_size=64, drop_rate=0.3)


class Unmatched(Sound):
    """Without a group_matcher: groups are derived."""

    group_matcher = property()  # hasattr says no


def test_a_matcher_is_not_needed():
    assert failed("backbone", factory(Unmatched)) == {}


class TokenLast(Sound):
    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        return {"stem": r"^stem", "blocks": r"^stages\.(\d+)"}


class Backwards(Sound):
    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        return {"blocks": r"^stages\.(\d+)", "stem": r"^stem|^token"}


class Losing(Sound):
    def group_matcher(self, coarse: bool = False) -> Any:
        return lambda name: None if name == "token" else (0,)


class FineOnly(Sound):
    def group_matcher(self, coarse: bool = False) -> Any:
        assert not coarse, "no coarse groups"
        return super().group_matcher()


class Stubborn(nn.BatchNorm2d):
    """Never in eval mode."""

    def train(self, mode: bool = True) -> nn.Module:
        return super().train(True)


class NeverEvaluates(Sound):
    def norm(self, width: int) -> nn.Module:
        return Stubborn(width)


class Forced(nn.BatchNorm2d):
    """Counts whatever its mode."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            self.running_mean.lerp_(x.mean((0, 2, 3)), 0.1)
        return super().forward(x)


class StatisticsMove(Sound):
    def norm(self, width: int) -> nn.Module:
        return Forced(width)


class TrainsItself(Sound):
    """Puts its norms into train mode whenever it trains at all."""

    def forward_features(self, x: torch.Tensor) -> Any:
        if torch.is_grad_enabled():
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.training = True
        return super().forward_features(x)


class ColourOnly(Sound):
    def __init__(self, in_chans: int, **options: Any) -> None:
        super().__init__(3, **options)


class Incomplete(nn.Module):
    def __init__(self, in_chans: int, **options: Any) -> None:
        super().__init__()
        self.num_classes, self.num_features = 1000, 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class KeepsClassifier(Sound):
    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        pass


class Forgetful(Sound):
    """Resets the classifier and says nothing of it."""

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        super().reset_classifier(num_classes)
        self.num_classes = 1000


class NoZero(Sound):
    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        super().reset_classifier(num_classes or 7)


class OtherForward(Sound):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * 2


class WrongWidth(Sound):
    def __init__(self, in_chans: int, **options: Any) -> None:
        super().__init__(in_chans, **options)
        self.num_features = 99


class Lists(Sound):
    def forward_features(self, x: torch.Tensor) -> Any:
        return [super().forward_features(x)]

    def forward_head(self, x: Any, pre_logits: bool = False) -> torch.Tensor:
        return super().forward_head(x[0], pre_logits)


class OneSize(Sound):
    def forward_features(self, x: torch.Tensor) -> Any:
        assert x.shape[-1] == 32, "32 px only"
        return super().forward_features(x)


class Spare(Sound):
    def __init__(self, in_chans: int, **options: Any) -> None:
        super().__init__(in_chans, **options)
        self.spare = nn.Conv2d(1, 1, 1)


class Auxiliary(Sound):
    def forward(self, x: torch.Tensor) -> Any:
        logits = super().forward(x)
        return (logits, logits) if self.training else logits


class Standardised(Sound):
    """Centres its weights for good, in forward."""

    def forward_features(self, x: torch.Tensor) -> Any:
        weight = self.stages[0][0].weight
        weight.data -= weight.data.mean()
        return super().forward_features(x)


class Swaps(Sound):
    """Draws a new projection each time it is built, and saves none."""

    def __init__(self, in_chans: int, **options: Any) -> None:
        super().__init__(in_chans, **options)
        self.register_buffer("mask", torch.rand(16), persistent=False)

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        return super().forward_head(x * self.mask[:, None, None], pre_logits)


FAULTS: dict[Any, dict[str, str]] = {
    TokenLast: {"group matcher": "'token' is in stage3, the 4th of 5 groups, though forward uses it before"},
    Backwards: {"group matcher": "though forward uses it before"},
    Losing: {"group matcher": "it raised TypeError"},
    FineOnly: {"group matcher": "it raised AssertionError: no coarse groups"},
    NeverEvaluates: {"eval mode": "running_mean", "one by one": "they differ", "freezing": "the frozen statistics"},
    StatisticsMove: {"eval mode": "'stem.1.running_mean'", "freezing": "the frozen statistics"},
    TrainsItself: {"freezing": "the frozen statistics"},
    ColourOnly: {"greyscale": "it raised RuntimeError"},
    Incomplete: {"building": "Incomplete has no forward_features, forward_head, get_classifier, reset_classifier"},
    KeepsClassifier: {"classes": "(2, 1000) for 2 images and 1 classes"},
    Forgetful: {"classes": "num_classes stays 1000 after reset_classifier(1)"},
    NoZero: {"classes": "(2, 7) after reset_classifier(0)"},
    OtherForward: {"features": "forward_head(forward_features(x)) differs from forward(x)"},
    WrongWidth: {"features": "num_features is 99, the map (2, 16, 8, 8)"},
    Lists: {"features": "forward_features gives a list for 2 images"},
    OneSize: {"image sizes": "it raised AssertionError: 32 px only"},
    Spare: {"gradients": "none at 'spare.weight', 'spare.bias'"},
    Auxiliary: {"train mode": "a tuple for 3 images"},
    Standardised: {"eval mode": "'stages.0.0.weight' moved", "freezing": "the frozen 'stages.0.0.weight' moved"},
    Swaps: {"saving": "they differ by up to"},
}


@pytest.mark.parametrize("model", FAULTS, ids=lambda model: model.__name__)
def test_each_fault_is_found(model):
    found = failed("backbone", factory(model))
    for point, text in FAULTS[model].items():
        assert text in found[point]


CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "mean": ({"mean": (123.7, 116.3, 103.5)}, "mean is (123.7, 116.3, 103.5)"),
    "std": ({"std": (0.0, 0.0, 0.0)}, "std is (0.0, 0.0, 0.0)"),
    "size": ({"input_size": (3, 0, 32)}, "input_size is (3, 0, 32)"),
    "interpolation": ({"interpolation": "cubic"}, "interpolation is 'cubic'"),
    "classifier": ({"classifier": "fc"}, "classifier is 'fc', which the model does not have"),
    "first_conv": ({"first_conv": "conv1"}, "first_conv is 'conv1', which the model does not have"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_wrong_configuration_is_found(name):
    config, text = CONFIGS[name]
    assert text in failed("backbone", factory(Sound, **config))["configuration"]


def test_a_fixed_size_may_be_stated():
    class Fixed(OneSize):
        def __init__(self, in_chans: int, img_size: int | None = None, **options: Any) -> None:
            super().__init__(in_chans, **options)

    told = verdict("backbone", factory(Fixed, fixed_input_size=True))
    assert told["failed"] == {}
    assert told["skipped"]["image sizes"] == ["pretrained_cfg says fixed_input_size=True"]


def test_a_model_by_hand_needs_what_timm_needs():
    def build(*, pretrained: bool = False, in_chans: int = 3) -> nn.Module:
        """A model with a configuration of its own."""
        model = Sound(in_chans)
        model.pretrained_cfg = {k: v for k, v in CONFIG.items() if k != "architecture"}
        return model

    assert failed("backbone", build).keys() == {"export"}


def test_what_does_not_build_is_told_once():
    def build(*, pretrained: bool = False, in_chans: int = 3) -> nn.Module:
        """Nothing."""
        raise FileNotFoundError("weights.pth")

    told = verdict("backbone", build)
    assert told["failed"].keys() == {"building"}
    assert told["failed"]["building"] == ["it raised FileNotFoundError: weights.pth"]
    assert told["skipped"]["freezing"] == ["it does not build"]


def test_pretrained_must_be_an_option():
    def build(in_chans: int = 3) -> nn.Module:
        """No weights ever."""
        return factory(Sound)(in_chans=in_chans)

    with pytest.raises(ContractError, match="unexpected keyword argument 'pretrained'"):
        check_backbone(build)


def test_lite0_by_name():
    found = failed("backbone", "lite0")
    assert found.keys() <= {"contract range"}


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "test_resnet", "test_mambaout"])
def test_timms_own_models_keep_the_contract(name):
    def build(*, pretrained: bool = False, in_chans: int = 3) -> nn.Module:
        """One of timm's small models."""
        return timm.create_model(name, pretrained=pretrained, in_chans=in_chans)

    assert failed("backbone", build) == {}
