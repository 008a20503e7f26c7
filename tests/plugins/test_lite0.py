import math

import pytest
import torch
import zoo_lite0
from PIL import Image, ImageDraw
from small import classifier, images, logits, spec

from zoo.data.loader import Normalise
from zoo.data.pixels import View
from zoo.models.backbone import build_backbone, config
from zoo.models.classifier import Classifier
from zoo.plugins import find_backbone


@pytest.fixture(scope="module")
def pretrained() -> torch.nn.Module:
    return build_backbone(spec("lite0", pretrained=True), 64).eval()


def test_it_is_installed_and_owned():
    plugin = find_backbone("lite0")
    assert (plugin.full_name, plugin.load()) == ("zoo-lite0:lite0", zoo_lite0.lite0)


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
    assert zoo_lite0.timm_name(name, BLOCKS, expanded={"1", "2"}) == expected


def test_every_tensor_has_its_place_in_order(pretrained):
    found, own = zoo_lite0.weights(pretrained), pretrained.state_dict()
    assert list(found) == list(own)
    assert [t.shape for t in found.values()] == [t.shape for t in own.values()]
    assert sum(t.numel() for t in pretrained.parameters()) == 4_652_008


def test_the_weights_are_loaded(pretrained):
    found = zoo_lite0.weights(pretrained)
    assert all(torch.equal(tensor, found[name]) for name, tensor in pretrained.state_dict().items())
    assert float(found["conv_stem.weight"].abs().sum()) == pytest.approx(387.12, abs=0.01)


def test_random_without_them(pretrained):
    model = build_backbone(spec("lite0"), 64)
    assert not torch.equal(model.conv_stem.weight, pretrained.conv_stem.weight)
    assert set(model.state_dict()) == set(pretrained.state_dict())


def test_grey_input_sums_the_stem_over_colours(pretrained):
    grey = build_backbone(spec("lite0", pretrained=True, in_chans=1), 64).eval()
    x = images(2, 64, 1)
    assert torch.allclose(grey.conv_stem.weight, pretrained.conv_stem.weight.sum(1, keepdim=True))
    with torch.inference_mode():
        assert torch.allclose(grey(x), pretrained(x.repeat(1, 3, 1, 1)), atol=1e-3)


def test_options():
    model = build_backbone(spec("lite0", options={"drop_rate": 0.2, "drop_path_rate": 0.1}), 64)
    assert model.drop_rate == 0.2
    assert any(type(m).__name__ == "DropPath" for m in model.modules())


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_it_takes_any_head(head):
    model = classifier("lite0", 64, head, pretrained=True)
    assert logits(model, images(2, 64)).shape == (2, 5)
    backbone = model.backbone if isinstance(model, Classifier) else model
    assert (config(backbone)["mean"], config(backbone)["std"]) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


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


@pytest.mark.parametrize(("picture", "classes"), [(clock, {409, 892}), (lights, {920, 818})])
def test_it_knows_what_it_sees(pretrained, picture, classes):
    """ImageNet's analog and wall clock; traffic light and spotlight. Wrong means or a wrong mapping would not tell."""
    pixels = torch.tensor(View(224)(picture()))[None]
    found = logits(pretrained, Normalise((0.5,) * 3, (0.5,) * 3, False)(pixels)).softmax(1)[0]
    assert set(found.topk(2).indices.tolist()) == classes
    assert float(found[list(classes)].sum()) > 0.4
