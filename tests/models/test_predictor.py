"""A classifier of pictures, and pretrained models by name."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import zoo
from zoo.config.recipe import Model
from zoo.data.image_store import EvalTransform
from zoo.data.loader import Normalise
from zoo.errors import DataError, ModelError, UnknownName
from zoo.models.backbone import build_backbone, config
from zoo.models.predictor import ImageClassifier
from zoo.models.pretrained import backbone_of, imagenet_names
from zoo.models.saved import load as load_folder
from zoo.plugins import find_backbone

OTHER = "does not exist; name a run, a model folder or hf-hub:user/name"


def picture() -> Image.Image:
    return Image.effect_mandelbrot((250, 240), (-2, -1, 1, 1), 50).convert("RGB")


@pytest.fixture(scope="module")
def lite() -> ImageClassifier:
    return zoo.load("lite0")


def test_a_timm_model_prepares_pictures_as_its_configuration_says() -> None:
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", in_chans=1, num_classes=3).eval()
    found = ImageClassifier.of_timm(model, ["a", "b", "c"])
    cfg = config(model)
    mean, std = (float(np.mean(cfg[key])) for key in ("mean", "std"))
    assert (found.classes, found.view) == (("a", "b", "c"), EvalTransform(160, cfg["crop_pct"], 1))
    assert found.normalise == Normalise((pytest.approx(mean),), (pytest.approx(std),), False)
    assert repr(found) == "ImageClassifier(3 classes, 160 px, head linear)"


def test_pictures_one_or_many_and_none(tmp_path: Path) -> None:
    found = ImageClassifier.of_timm(timm.create_model("test_resnet", num_classes=3).eval(), "abc")
    picture().save(tmp_path / "p.png")
    assert torch.equal(found(picture()), found([tmp_path / "p.png"]))
    assert float(found(picture()).sum()) == pytest.approx(1)
    with pytest.raises(DataError, match="no picture was given"):
        found([])
    with pytest.raises(DataError, match=r"gone\.png: "):
        found(tmp_path / "gone.png")


def test_a_pretrained_model_is_the_backbone_with_its_own_classifier(lite: ImageClassifier) -> None:
    expected = build_backbone(Model(backbone="lite0"), None).eval()
    assert not lite.model.training
    assert torch.equal(lite.model.state_dict()["classifier.weight"], expected.state_dict()["classifier.weight"])
    assert (lite.view, lite.normalise) == (EvalTransform(224, 0.875, 3), Normalise((0.5,) * 3, (0.5,) * 3, False))
    with torch.inference_mode():
        assert torch.equal(lite(picture()), expected(lite.inputs(picture())).softmax(1))


def test_names_of_imagenet_are_in_order_and_unique(lite: ImageClassifier) -> None:
    assert lite.classes == imagenet_names()
    assert len(set(lite.classes)) == 1000
    assert [lite.classes[k] for k in (0, 409, 920)] == [
        "tench, Tinca tinca", "analog clock", "traffic light, traffic signal, stoplight",
    ]  # fmt: skip
    assert (lite.classes[134], lite.classes[517]) == ("crane (n02012849)", "crane (n03126707)")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("lite0", "zoo-lite:lite0"),
        ("plugin:lite0", "zoo-lite:lite0"),
        ("zoo-lite:lite0", "zoo-lite:lite0"),
        ("resnet50", "timm:resnet50"),
        ("timm:resnet50", "timm:resnet50"),
        ("resnet50.a1_in1k", "timm:resnet50.a1_in1k"),
        ("runs/resnet50", None),
        ("hf-hub:me/mine", None),
        (Path("lite0"), None),
    ],
)
def test_what_a_name_means(name: str | Path, found: str | None) -> None:
    assert backbone_of(name) == found


def test_a_folder_goes_before_a_backbone_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, full_name in {"lite0": "zoo-lite:lite0", "resnet50": "timm:resnet50"}.items():
        (tmp_path / name).mkdir()
        with pytest.raises(ModelError) as caught:
            zoo.load(name)
        assert str(caught.value) == (
            f"'{name}' is neither a run nor a model folder (no recipe.yaml, no config.json). "
            f"For the backbone of that name write {full_name}"
        )
    with pytest.raises(
        ModelError, match=r"'lite1' does not exist; .*\. For the backbone of that name write zoo-lite:lite1$"
    ):
        zoo.load(Path("lite1"))
    assert backbone_of("plugin:lite0") == find_backbone("lite0").full_name


def test_a_name_that_nothing_carries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "shoes-and-bags").mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    nearest = {"resnt50": "resnet50", "lite00": "lite0", "shoes-and-bag": "runs/shoes-and-bags", "mime": "mine"}
    for name, near in nearest.items():
        with pytest.raises(ModelError) as caught:
            zoo.load(name)
        assert str(caught.value) == (
            f"'{name}' is neither a run, a model folder nor a backbone. Did you mean '{near}'? "
            "Name a folder, hf-hub:user/name, or a backbone (zoo list backbones)"
        )
    with pytest.raises(UnknownName, match=r"unknown backbone 'lite9'\. Did you mean 'lite\d'\?"):
        zoo.load("plugin:lite9")
    with pytest.raises(ModelError, match=OTHER):
        zoo.load("runs/lite0")
    with pytest.raises(ModelError, match=OTHER):
        load_folder("lite0")


def test_classes_without_names(install) -> None:
    source = (
        "import timm\n"
        "def ten(*, pretrained, in_chans=3):\n"
        "    return timm.create_model('test_resnet', num_classes=10, in_chans=in_chans)\n"
    )
    install("zoo-ten", backbones={"ten": "zoo_ten:ten"}, files={"zoo_ten.py": source})
    with pytest.raises(ModelError) as caught:
        zoo.load("ten")
    assert str(caught.value) == (
        "the pretrained 'zoo-ten:ten' has 10 classes, not ImageNet's 1,000, the only ones whose names are known. "
        "Train it first: zoo finetune --recipe images model.backbone=zoo-ten:ten data.source=PATH"
    )
