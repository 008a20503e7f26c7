"""Every backbone that the plugins add to timm keeps timm's interface, and works with the zoo's heads and groups."""

from pathlib import Path

import pytest
import timm
import torch
import zoo_classics
import zoo_deformable
import zoo_torchvision
from safetensors.torch import save_file
from small import CLASSES, classifier, images, logits, spec
from timm.models import group_parameters
from timm.models._hub import save_for_hf
from torch import nn

from zoo.contracts import HEAD
from zoo.models.backbone import INTERFACE, build_backbone
from zoo.models.classifier import halves
from zoo.models.param_groups import parameter_groups
from zoo.plugins import find_backbone
from zoo.plugins.signature import signature
from zoo.testing import check_backbone
from zoo.timm_index import timm_models

BACKBONES = {  # name: (owner, pixels, options, groups of timm's coarse matcher)
    "alexnet": ("zoo-torchvision", 64, ["drop_rate"], 6),
    "googlenet": ("zoo-torchvision", 32, ["drop_rate"], 6),
    "squeezenet1_0": ("zoo-torchvision", 32, ["drop_rate"], 5),
    "squeezenet1_1": ("zoo-torchvision", 32, ["drop_rate"], 5),
    "shufflenet_v2_x0_5": ("zoo-torchvision", 32, ["drop_rate"], 5),
    "shufflenet_v2_x1_0": ("zoo-torchvision", 32, ["drop_rate"], 5),
    "shufflenet_v2_x1_5": ("zoo-torchvision", 32, ["drop_rate"], 5),
    "shufflenet_v2_x2_0": ("zoo-torchvision", 32, ["drop_rate"], 5),
    "nin": ("zoo-classics", 64, ["drop_rate"], 5),
    "shufflenet_v1": ("zoo-classics", 32, ["groups", "width", "drop_rate"], 5),
    "deform_resnet18": ("zoo-deformable", 32, ["deform_stages", "drop_rate", "drop_path_rate"], 6),
    "deform_resnet50": ("zoo-deformable", 32, ["deform_stages", "drop_rate", "drop_path_rate"], 6),
}
KINDS = ["alexnet", "googlenet", "squeezenet1_1", "shufflenet_v2_x0_5", "nin", "shufflenet_v1", "deform_resnet18"]
"""One of each architecture, for what takes longer."""
HIDDEN = {"alexnet": 4096}

every = pytest.mark.parametrize("name", BACKBONES)
each_kind = pytest.mark.parametrize("name", KINDS)


def create(name: str, **arguments: object) -> nn.Module:
    """The model with random weights and statistics, always the same, in eval mode."""
    torch.manual_seed(0)
    model = timm.create_model(name, **arguments)
    for module in model.modules():
        if getattr(module, "running_var", None) is not None:
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    return model.eval()


def pixels(name: str, count: int = 2, channels: int = 3) -> torch.Tensor:
    return images(count, BACKBONES[name][1], channels)


@every
def test_it_is_found_explained_and_no_name_of_timm(name):
    owner, _, options, _ = BACKBONES[name]
    plugin = find_backbone(name)
    assert plugin.full_name == f"{owner}:{name}"
    found = signature(plugin)
    assert ([o.name for o in found.options], found.open) == (options, False)
    assert "arXiv:" in found.doc or "et al." in found.doc
    assert {o.type for o in found.options} <= {"int", "float"}
    assert name not in timm_models()
    assert timm.is_model(name)


def test_nothing_else_is_registered():
    modules = ("alexnet", "googlenet", "squeezenet", "shufflenet", "nin")
    listed = {name for name in timm.list_models(module=modules)}
    assert listed == {name for name in BACKBONES if not name.startswith("deform")}
    assert set(timm.list_models("deform_*")) == {"deform_resnet18", "deform_resnet50"}
    assert zoo_torchvision.__all__ and zoo_classics.__all__ and zoo_deformable.__all__


def test_the_copies_of_staged_are_one():
    """Each package can be installed alone."""
    copies = [Path(package.__file__).with_name("staged.py") for package in (zoo_torchvision, zoo_classics)]
    assert copies[0].read_text() == copies[1].read_text()


@pytest.mark.parametrize("name", [name for name in KINDS if name != "alexnet"])
def test_it_keeps_the_contract(name):
    """AlexNet does as well; copying its 61 million parameters takes a minute (`zoo plugin check zoo-torchvision`)."""
    check_backbone(name, image_size=BACKBONES[name][1])


@every
def test_the_interface(name):
    model = create(name, num_classes=5)
    x = pixels(name)
    assert not [part for part in INTERFACE if not hasattr(model, part)]
    features = model.forward_features(x)
    assert features.shape[:2] == (2, model.num_features)
    assert torch.equal(model(x), model.forward_head(features))
    pooled = model.forward_head(features, pre_logits=True)
    assert pooled.shape == (2, model.head_hidden_size)
    assert model.head_hidden_size == HIDDEN.get(name, model.num_features)
    assert model.get_classifier().weight.shape[:2] == (5, model.head_hidden_size)
    assert model.pretrained_cfg["architecture"] == name and model.default_cfg is model.pretrained_cfg
    assert dict(model.named_modules())[model.pretrained_cfg["classifier"]] is model.get_classifier()
    assert isinstance(dict(model.named_modules())[model.pretrained_cfg["first_conv"]], nn.Conv2d)


@each_kind
def test_the_classifier_can_be_reset(name):
    model = create(name)
    x = pixels(name)
    assert model(x).shape == (2, 1000)
    pooled = model.forward_head(model.forward_features(x), pre_logits=True)
    model.reset_classifier(0)
    assert model.num_classes == 0
    assert torch.equal(model(x), pooled)
    assert [*model.get_classifier().parameters()] == []
    model.reset_classifier(7, "max")
    assert (model.num_classes, model(x).shape) == (7, (2, 7))
    model.reset_classifier(0, "")
    assert model(x).ndim == 4


@every
def test_features_only_gives_the_maps_it_announces(name):
    model = create(name, features_only=True)
    x = images(1, 128)
    maps = model(x)
    info = model.feature_info
    assert [m.shape[1] for m in maps] == info.channels()
    assert [m.shape[2] for m in maps] == pytest.approx([128 / step for step in info.reduction()], rel=0.07, abs=1)
    assert info.reduction() == sorted(info.reduction()) and len(maps) in (4, 5)


@each_kind
def test_intermediates_are_these_maps(name):
    model, x = create(name), pixels(name)
    whole = create(name, features_only=True)(x)
    last, maps = model.forward_intermediates(x)
    assert torch.equal(last, model.forward_features(x))
    assert all(torch.equal(a, b) for a, b in zip(maps, whole, strict=True))
    some = model.forward_intermediates(x, indices=[0, 2], stop_early=True, intermediates_only=True)
    assert [torch.equal(a, whole[i]) for a, i in zip(some, (0, 2), strict=True)] == [True, True]


@each_kind
def test_what_no_intermediate_needs_can_be_pruned(name):
    model, x = create(name), pixels(name)
    before = sum(p.numel() for p in model.parameters())
    wanted = model.forward_intermediates(x, indices=[1], intermediates_only=True)[0]
    assert model.prune_intermediate_layers([1]) == [1]
    assert torch.equal(model.forward_intermediates(x, indices=[1], intermediates_only=True)[0], wanted)
    assert sum(p.numel() for p in model.parameters()) < before / 2
    assert model(x).shape[:2] == (2, wanted.shape[1])
    assert model.num_features == model.head_hidden_size == wanted.shape[1]


@every
@pytest.mark.parametrize("coarse", [True, False])
def test_groups_leave_only_the_head_unmatched(name, coarse):
    with torch.device("meta"):
        model = timm.create_model(name)
    groups = group_parameters(model, model.group_matcher(coarse=coarse))
    names = [parameter for group in groups.values() for parameter in group]
    assert sorted(names) == sorted(parameter for parameter, _ in model.named_parameters())
    assert {parameter.split(".")[0] for parameter in groups[max(groups)]} <= {"head", "fc", "pre_logits"}
    if coarse:
        assert len(groups) == BACKBONES[name][3]


@each_kind
@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_it_takes_any_head_and_its_stages_come_in_order(name, head):
    size = BACKBONES[name][1]
    model = classifier(name, size, head)
    assert logits(model, pixels(name)).shape == (2, len(CLASSES))
    groups = parameter_groups(model, size)
    hidden = {"pre_logits"} if name == "alexnet" else set()  # before the native classifier, idle before another head
    assert list(groups) == ["stem", *(f"stage{i}" for i in range(1, len(groups) - 1)), HEAD]
    assert len(groups) == BACKBONES[name][3] + (head == "linear" and bool(hidden))
    grouped = [parameter for group in groups.values() for parameter in group]
    assert len(set(grouped)) == len(grouped)
    idle = {p.split(".")[1] for p, _ in model.named_parameters() if p not in grouped}
    assert idle == (hidden if head == "mlp" else set())


@each_kind
def test_pooled_features_can_be_kept_where_the_classifier_follows_them(name):
    """SqueezeNet pools after its classifier, so its features cannot be kept pooled."""
    model = classifier(name, BACKBONES[name][1]).eval()
    cut = halves(model, pixels(name))
    assert (cut is None) == name.startswith("squeezenet")
    if cut:
        assert torch.equal(cut.top.eval()(cut.features(pixels(name))), logits(model, pixels(name)))


@each_kind
@pytest.mark.parametrize("shape", [(96, 96), (130, 75)])
def test_other_sizes(name, shape):
    assert create(name, num_classes=3)(torch.randn(1, 3, *shape)).shape == (1, 3)


@each_kind
@torch.inference_mode()
def test_bf16(name):
    model, x = create(name, num_classes=3), pixels(name)
    plain = model(x)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model(x)
    pure = model.bfloat16()(x.bfloat16())
    assert (mixed.dtype, pure.dtype) == (torch.bfloat16, torch.bfloat16)
    for found in (mixed, pure):
        assert torch.allclose(found.float(), plain, atol=0.05 * float(plain.abs().max()) + 1e-3)


@each_kind
def test_checkpointed_gradients_are_the_same(name):
    model, x = create(name, num_classes=3), pixels(name)
    gradients = []
    for enable in (False, True):
        model.set_grad_checkpointing(enable)
        model.zero_grad()
        model(x).square().sum().backward()
        gradients.append({n: p.grad.clone() for n, p in model.named_parameters()})
    assert all(torch.allclose(g, gradients[1][n], rtol=1e-4, atol=1e-6) for n, g in gradients[0].items())


@each_kind
def test_saved_and_loaded_it_is_the_same(name, tmp_path):
    model = create(name, num_classes=5, in_chans=1)
    save_for_hf(model, tmp_path / "model", safe_serialization=True, model_config={"label_names": list(CLASSES)})
    again = timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True).eval()
    x = pixels(name, channels=1)
    assert torch.equal(again(x), model(x))
    assert all(torch.equal(t, again.state_dict()[k]) for k, t in model.state_dict().items())


@each_kind
def test_it_starts_from_a_file_of_weights(name, tmp_path):
    """A path is part of the contract; the classifier is left out, as the zoo replaces it."""
    model = create(name, num_classes=5)
    save_file({k: t.contiguous() for k, t in model.state_dict().items()}, tmp_path / "own.safetensors")
    started = find_backbone(name).load()(pretrained=str(tmp_path / "own.safetensors")).eval()
    x = pixels(name)
    assert torch.equal(started.forward_features(x), model.forward_features(x))


@pytest.mark.parametrize("name", ["squeezenet1_1", "googlenet", "shufflenet_v1"])
def test_dropout_is_an_option(name):
    model = build_backbone(spec(name, options={"drop_rate": 0.25}), 64)
    assert model.head.drop.p == model.drop_rate == 0.25
