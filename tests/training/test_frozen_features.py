"""Features of frozen parts: the model's own, kept once, and never used when they are not what the model would give."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from disks import small_disk
from processes import tiny

from zoo.config.loading import read_recipe
from zoo.data.loader import FeatureLoader, ImageLoader, in_order
from zoo.distributed.processes import Processes
from zoo.models.mode import evaluating
from zoo.reporting import Reporter
from zoo.storage import feature_cache
from zoo.training.feature_plan import plan_splits
from zoo.training.frozen_features import Features
from zoo.training.inputs import TrainingInputs, prepare
from zoo.training.setup import build


class Counted(Reporter):
    """How many passes over images were made, and what was said."""

    def __init__(self) -> None:
        self.passes, self.notes = 0, []

    def start(self, task: str, total: int, done: int = 0) -> None:
        self.passes += task == "features"

    def note(self, text: str) -> None:
        self.notes.append(text)


@dataclass(frozen=True)
class Made:
    """The head-only phase of the tiny recipe, ready to compute features."""

    features: Features
    images: ImageLoader
    said: Counted
    inputs: TrainingInputs

    def __call__(self, epochs: range = range(1)) -> FeatureLoader:
        return self.features.loader(self.images, epochs)


def made(folder: Path, *settings: str) -> Made:
    recipe, said = read_recipe(tiny(folder), ["train.precision=fp32", *settings]), Counted()
    processes = Processes(recipe.train.precision)
    setup = build(recipe)
    inputs = prepare(setup, plan_splits(setup, processes, said), processes, said)
    features = Features(inputs.splits[0], recipe.model, 32, processes, said, lambda: None)
    return Made(features, inputs.plain, said, inputs)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path


def every(loader: FeatureLoader | ImageLoader, epoch: int = 0) -> torch.Tensor:
    return torch.cat([batch.inputs for batch in loader.batches(in_order(np.arange(len(loader.targets)), 24), epoch)])


@torch.inference_mode()
def expected(one: Made, images: ImageLoader, epoch: int = 0) -> torch.Tensor:
    with evaluating(one.inputs.model):
        return one.features.split.features(every(images, epoch))


def test_features_are_the_models_own_and_are_computed_once(folder):
    one = made(folder)
    found = every(one())
    assert torch.allclose(found, expected(one, one.images), atol=1e-6)
    assert (one.said.passes, len(feature_cache.entries())) == (1, 1)
    assert torch.equal(every(one()), found) and one.said.passes == 1
    other = made(folder)
    assert torch.equal(every(other()), found) and other.said.passes == 0
    (entry,) = feature_cache.entries()
    assert (entry.facts["backbone"], entry.facts["images"], entry.facts["read"]) == ("test_resnet", 72, "pre_logits")


def test_views_are_augmented_as_their_epochs_are_and_come_in_turn(folder):
    one = made(folder, "train.views=2")
    one = replace(one, images=one.inputs.train)
    loader = one(range(3, 5))
    for epoch, same in ((3, 3), (4, 4), (5, 3), (6, 4)):
        assert torch.allclose(every(loader, epoch), expected(one, one.images, same), atol=1e-6)
    assert not torch.equal(every(loader, 3), every(loader, 4))
    assert len(feature_cache.entries()) == 2


@pytest.mark.parametrize(
    "setting",
    [
        "train.seed=1",
        "data.limit=71",
        "data.image_size=40",
        "data.crop_pct=0.9",
        "model.backbone=test_efficientnet",
        "model.head=attention",
        "train.precision=bf16",
    ],
)
def test_whatever_they_depend_on_makes_others(setting, folder):
    made(folder)()
    other = made(folder, setting)
    other()
    assert other.said.passes == 1 and len(feature_cache.entries()) == 2


def test_other_weights_or_statistics_make_others(folder):
    one = made(folder)
    one()
    one.inputs.model.bn1.running_mean.add_(0.5)
    assert torch.allclose(every(one()), expected(one, one.images), atol=1e-6)
    with torch.no_grad():
        one.inputs.model.conv1[0].weight.mul_(0.5)
    assert torch.allclose(every(one()), expected(one, one.images), atol=1e-6)
    with torch.no_grad():
        one.inputs.model.fc.weight.mul_(0.5)  # the head reads features, so these stay
    one()
    assert (one.said.passes, len(feature_cache.entries())) == (3, 3)


def test_a_damaged_entry_is_made_again(folder):
    one = made(folder)
    found = every(one()).clone()
    path = feature_cache.entries()[0].features
    data = bytearray(path.read_bytes())
    data[-3] ^= 0x40
    os.remove(path), path.write_bytes(data)
    assert torch.equal(every(one()), found) and one.said.passes == 2


def test_an_entry_that_the_models_code_no_longer_gives_is_made_again(folder):
    """Same weights, same structure, other arithmetic: what a plugin's author meets all day."""
    one = made(folder)
    one()
    one.inputs.model.maxpool.forward = lambda x: torch.tanh(x)
    found = every(one())
    assert torch.allclose(found, expected(one, one.images), atol=1e-6)
    assert one.said.passes == 2 and one.said.notes == [
        "cached features are not what the model gives now (was its code changed?); made anew"
    ]
    assert torch.equal(every(one()), found) and one.said.passes == 2


def test_features_without_room_on_the_disk_stay_in_memory(folder, monkeypatch):
    one = made(folder)
    monkeypatch.setenv("ZOO_CACHE_GB", "0.00001")
    assert torch.allclose(every(one()), expected(one, one.images), atol=1e-6)
    assert feature_cache.entries() == []
    with small_disk(folder / "disk", 1) as disk:
        monkeypatch.setenv("ZOO_CACHE_GB", "1")
        monkeypatch.setenv("ZOO_CACHE", str(disk))
        (disk / "filler").write_bytes(bytes(1020 * 1024))
        monkeypatch.setattr(feature_cache, "fits", lambda size: True)  # somebody else took the room just now
        assert torch.allclose(every(one()), expected(one, one.images), atol=1e-6)
        assert feature_cache.entries() == []


def test_streamed_images_are_told_apart_by_their_files(folder):
    one, two = made(folder, "data.in_memory=false"), made(folder, "data.in_memory=false", "data.limit=70")
    assert one.images.pixels.digest != two.images.pixels.digest
    found = every(one())
    two()
    assert (one.said.passes, two.said.passes, len(feature_cache.entries())) == (1, 1, 2)
    again = made(folder, "data.in_memory=false")
    assert torch.equal(every(again()), found) and again.said.passes == 0
