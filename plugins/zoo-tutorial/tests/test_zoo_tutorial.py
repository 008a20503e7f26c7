"""The contract, and what each part promises besides."""

from pathlib import Path

import pytest
import torch
from zoo_tutorial.backbone import pico_mixer
from zoo_tutorial.head import Prototypes
from zoo_tutorial.schedule import ends_first

from zoo.contracts import FeatureInfo, Phase
from zoo.testing import check_backbone, check_head, check_recipe, check_schedule
from zoo.testing.distributions import in_folder

PLUGIN = Path(__file__).parents[1]


@pytest.mark.parametrize("options", [{}, {"scale": 1.0}])
def test_the_head_keeps_the_contract(options):
    check_head(Prototypes, **options)


def test_a_class_is_nearest_to_its_own_prototype():
    head = Prototypes(FeatureInfo(8, "NC"), num_classes=3)
    head.load_state_dict({**head.state_dict(), "prototypes": torch.eye(3, 8)})
    assert head(torch.eye(3, 8)).argmax(1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("options", [{}, {"ends_epochs": 3}])
def test_the_schedule_keeps_the_contract(options):
    check_schedule(ends_first, **options)


def test_the_plan():
    groups = ("stem", "stage1", "stage2", "head")
    assert ends_first(groups, epochs=5, ends_epochs=2) == (Phase(2, ("stem", "head")), Phase(3, groups))


@pytest.mark.parametrize("options", [{}, {"width": 16, "depth": 2, "patch": 8}])
def test_the_backbone_keeps_the_contract(options):
    check_backbone(pico_mixer, image_size=64, **options)


def test_the_feature_map():
    model = pico_mixer(pretrained=False, width=16, depth=1, patch=8)
    assert model.forward_features(torch.zeros(2, 3, 64, 32)).shape == (2, 16, 8, 4)


@pytest.mark.parametrize(
    ("part", "word"),
    [
        (lambda: Prototypes(FeatureInfo(8, "NC"), num_classes=3, scale=0), "scale"),
        (lambda: ends_first(("stem", "head"), epochs=5, ends_epochs=0), "ends_epochs"),
    ],
    ids=["head", "schedule"],
)
def test_a_bad_option_is_refused(part, word):
    with pytest.raises(ValueError, match=word):
        part()


def test_the_recipe():
    with in_folder(PLUGIN):
        check_recipe(PLUGIN / "zoo_tutorial" / "recipes" / "fashion-mnist-tutorial.yaml")
