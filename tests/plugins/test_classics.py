"""zoo-classics: what the papers say about Network in Network and ShuffleNet v1."""

import pytest
import timm
import torch
from small import images, spec
from torch import nn
from zoo_classics.shufflenet import Unit, channels, shuffled

from zoo.errors import ModelError, ZooError
from zoo.models.backbone import build_backbone


def multiplications(model: nn.Module, size: int = 224) -> int:
    """Of one image, in convolutions and linear layers."""
    total = 0

    def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal total
        total += output[0].numel() * layer.weight[0].numel()

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        model.eval()(images(1, size))
    return total


@pytest.mark.parametrize(("groups", "millions"), [(1, 143), (2, 140), (3, 137), (4, 133), (8, 137)])
def test_shufflenet_costs_what_table_1_says(groups, millions):
    model = timm.create_model("shufflenet_v1", groups=groups)
    assert multiplications(model) / 1e6 == pytest.approx(millions, rel=0.02)


@pytest.mark.parametrize(("width", "millions"), [(0.5, 38), (1.5, 292), (2.0, 524)])
def test_wider_and_narrower(width, millions):
    """Tables 2 and 5, three groups."""
    assert multiplications(timm.create_model("shufflenet_v1", width=width)) / 1e6 == pytest.approx(millions, rel=0.06)


@pytest.mark.parametrize("width", [0.25, 0.5, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("groups", [1, 2, 3, 4, 8])
def test_groups_divide_all_channels(groups, width):
    stem, *stages = channels(groups, width)
    assert all(c % groups == 0 for c in (stem, *stages, stages[0] - stem, stages[0] // 4))
    assert stages[1:] == [2 * stages[0], 4 * stages[0]]
    with torch.device("meta"):
        assert timm.create_model("shufflenet_v1", groups=groups, width=width).num_features == stages[-1]


def test_the_channels_of_the_paper():
    assert [channels(g, 1.0) for g in (1, 2, 3, 4, 8)] == [
        (24, 144, 288, 576), (24, 200, 400, 800), (24, 240, 480, 960), (24, 272, 544, 1088), (24, 384, 768, 1536),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "fault"),
    [({"groups": 5}, "groups=5 must be one of 1, 2, 3, 4, 8"), ({"width": 0.0}, "width=0.0 must be")],
)
def test_options_that_make_no_sense(options, fault):
    with pytest.raises(ZooError, match=fault):
        build_backbone(spec("shufflenet_v1", options=options), 64)


def test_shuffling_deals_channels_out():
    assert shuffled(torch.arange(6.0).reshape(1, 6, 1, 1), 3).flatten().tolist() == [0, 2, 4, 1, 3, 5]


def test_a_unit_adds_or_appends():
    unit = Unit(24, 24, groups=3)
    nn.init.zeros_(unit.conv3.bn.weight)
    x = images(2, 8, 24)
    assert torch.equal(unit.eval()(x), x.relu())
    halving = Unit(24, 240, groups=3, stride=2).eval()
    assert halving(x).shape == (2, 240, 4, 4)
    assert torch.equal(halving(x)[:, :24], nn.functional.avg_pool2d(x, 3, 2, 1).relu())


def test_every_group_reaches_every_output():
    """Without the shuffle a third of the channels would never see the others."""
    unit = Unit(72, 72, groups=3).eval()
    x = images(1, 4, 72).requires_grad_()
    unit.conv3(unit.conv2(shuffled(unit.conv1(x), 3)))[:, :24].sum().backward()
    assert all(part.abs().sum() > 0 for part in x.grad.chunk(3, 1))


def test_network_in_network():
    model = timm.create_model("nin")
    assert sum(p.numel() for p in model.parameters()) == 7_595_176
    assert [f["num_chs"] for f in model.feature_info] == [96, 256, 384, 1024]
    assert model.eval()(images(1, 39)).shape == (1, 1000)
    assert not [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]


def test_its_dropout_stands_before_the_last_stage():
    model = build_backbone(spec("nin", options={"drop_rate": 0.3}), 64)
    assert [(n, m.p) for n, m in model.named_modules() if isinstance(m, nn.Dropout)] == [
        ("stages.2.1", 0.3),
        ("head.drop", 0.0),
    ]


def test_the_average_and_the_classifier_commute():
    """The paper convolves to a map per class, then averages."""
    model = timm.create_model("nin", num_classes=4).eval()
    features = model.forward_features(images(2, 96))
    maps = nn.functional.conv2d(features, model.head.fc.weight[:, :, None, None], model.head.fc.bias)
    assert torch.allclose(maps.mean((2, 3)), model.forward_head(features), atol=1e-5)


@pytest.mark.parametrize("name", ["nin", "shufflenet_v1"])
def test_no_weights_are_published(name):
    fault = f"backbone '{name}' has no published weights. Try model.pretrained=false"
    with pytest.raises(ModelError, match=fault):
        build_backbone(spec(name, pretrained=True), 64)
    with pytest.raises(RuntimeError, match=f"No pretrained weights exist for {name}"):
        timm.create_model(name, pretrained=True)
