"""zoo-deformable: a ResNet that starts as the plain one, and learns where to look."""

import os
import subprocess
import sys

import pytest
import timm
import torch
from small import images, spec
from torch import nn
from torchvision.ops import deform_conv2d
from zoo_deformable.convolution import DeformConv2d

from zoo.errors import ZooError
from zoo.models.backbone import build_backbone

PAIRS = [("deform_resnet18", "resnet18"), ("deform_resnet50", "resnet50")]


def plain_and_deformable(stride: int = 1) -> tuple[nn.Conv2d, DeformConv2d]:
    torch.manual_seed(0)
    plain = nn.Conv2d(4, 6, 3, stride=stride, padding=1, bias=False)
    return plain, DeformConv2d(plain)


def moved(layer: DeformConv2d) -> DeformConv2d:
    """With offsets and factors that depend on what is seen."""
    torch.manual_seed(1)
    nn.init.normal_(layer.offset.weight, std=0.1)
    nn.init.normal_(layer.offset.bias)
    return layer


@pytest.mark.parametrize("stride", [1, 2])
def test_at_first_it_is_the_plain_convolution(stride):
    plain, layer = plain_and_deformable(stride)
    x = images(2, 9, 4)
    assert torch.allclose(layer(x), plain(x), atol=1e-6)
    assert layer.weight is plain.weight
    assert set(layer.state_dict()) == {"weight", "offset.weight", "offset.bias"}


def test_taps_move_by_rows_and_columns_and_fade():
    plain, layer = plain_and_deformable()
    x = images(1, 12, 4)
    with torch.no_grad():
        layer.offset.bias[0:18:2] = 1.0  # one row down
    assert torch.allclose(layer(x)[:, :, 2:-2, 2:-2], plain(x)[:, :, 3:-1, 2:-2], atol=1e-5)
    layer.zero_offset()
    with torch.no_grad():
        layer.offset.bias[18:] = -30.0
    assert layer(x).abs().max() < 1e-5


def test_it_is_torchvision_s_operator():
    _, layer = plain_and_deformable()
    x = images(2, 8, 4)
    by = moved(layer).offset(x)
    expected = deform_conv2d(x, by[:, :18], layer.weight, padding=1, mask=2 * by[:, 18:].sigmoid())
    assert torch.equal(layer(x), expected)


def test_gradients():
    _, layer = plain_and_deformable()
    x = images(1, 5, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(moved(layer.double()), (x,), eps=1e-6, atol=1e-4)


@pytest.mark.parametrize("how", ["autocast", "weights"])
def test_bf16_samples_in_float32(how):
    _, layer = plain_and_deformable()
    x = images(2, 16, 4)
    expected = moved(layer)(x)
    if how == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            found = layer(x)
    else:
        found = layer.bfloat16()(x.bfloat16())
    assert found.dtype == torch.bfloat16
    assert torch.allclose(found.float(), expected, atol=0.2)


def test_other_paddings_are_refused():
    with pytest.raises(ValueError, match="pads with zeros"):
        DeformConv2d(nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"))
    with pytest.raises(ValueError, match="pads with zeros"):
        DeformConv2d(nn.Conv2d(4, 4, 3, padding="same"))


@pytest.mark.parametrize(("name", "plain"), PAIRS)
def test_it_starts_from_the_weights_of_timm_s_plain_one(name, plain):
    torch.manual_seed(0)
    source = timm.create_model(plain).eval()
    for module in source.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.2, 0.5)
    overlay = {"state_dict": source.state_dict()}
    model = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay).eval()
    x = images(2, 64)
    with torch.inference_mode():
        assert torch.allclose(model(x), source(x), rtol=1e-4, atol=1e-4)
    assert {k for k in model.state_dict() if k not in source.state_dict()} == {
        f"{n}.offset.{kind}"
        for n, m in model.named_modules()
        if isinstance(m, DeformConv2d)
        for kind in ("weight", "bias")
    }
    cfg, own = timm.get_pretrained_cfg(plain), model.pretrained_cfg
    assert (own["hf_hub_id"], own["tag"], own["architecture"]) == (cfg.hf_hub_id, cfg.tag, name)


@pytest.mark.parametrize(("stages", "count"), [(1, 3), (2, 9), (3, 13), (4, 16)])
def test_the_last_stages_are_deformable(stages, count):
    with torch.device("meta"):
        model = timm.create_model("deform_resnet50", deform_stages=stages)
    names = [n for n, m in model.named_modules() if isinstance(m, DeformConv2d)]
    assert len(names) == count
    assert {n.split(".")[0] for n in names} == {f"layer{i}" for i in range(5 - stages, 5)}
    assert all(n.endswith("conv2") for n in names)


def test_offsets_survive_initialisation_and_shapes_on_no_device():
    model = timm.create_model("deform_resnet18")
    model.init_weights()
    layers = [m for m in model.modules() if isinstance(m, DeformConv2d)]
    assert not any(p.any() for layer in layers for p in layer.offset.parameters())
    with torch.device("meta"):
        assert model.to("meta")(torch.empty(2, 3, 64, 64)).shape == (2, 1000)


def test_offsets_learn():
    model = timm.create_model("deform_resnet18", num_classes=2, zero_init_last=False)
    model(images(4, 64))[:, 0].sum().backward()
    layers = [m for m in model.modules() if isinstance(m, DeformConv2d)]
    assert all(layer.offset.weight.grad.abs().sum() > 0 for layer in layers)


@pytest.mark.parametrize("stages", [0, 5])
def test_options_that_make_no_sense(stages):
    with pytest.raises(ZooError, match=f"deform_stages={stages} must lie in 1 to 4"):
        build_backbone(spec("deform_resnet18", options={"deform_stages": stages}), 64)


def test_without_the_hub_it_says_so(tmp_path):
    code = (
        "from zoo.config.recipe import Model; from zoo.models.backbone import build_backbone\n"
        "try: build_backbone(Model(backbone='deform_resnet50'), 64)\n"
        "except Exception as error: print(f'{type(error).__name__}: {error}')"
    )
    env = {**os.environ, "HOME": str(tmp_path), "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ModelError: 'deform_resnet50' cannot be fetched: HF_HUB_OFFLINE is set and ")
