from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from small import classifier, spec

from zoo.errors import ModelError, UsageError
from zoo.models.backbone import NEXT, build_backbone, classifier_prefixes, load_weights, native_size, one_line


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Random weights of a test_resnet with 10 classes."""
    torch.manual_seed(7)
    path = tmp_path / "w.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=10).state_dict(), path)
    return path


@pytest.mark.parametrize(
    ("backbone", "size", "options", "error", "message"),
    [
        ("resnet18", 32, {"options": {"legs": 4}}, UsageError,
            "model.options.legs: backbone 'resnet18' has no such option"),
        ("vgg11", 32, {"options": {"drop_path_rate": 0.1}}, UsageError,
            "model.options.drop_path_rate: backbone 'vgg11' has no such option"),
        ("resnet18", 32, {"options": {"global_pool": "nope"}}, ModelError,
            "backbone 'resnet18' cannot be built for 32 px: AssertionError: Invalid pool type: nope"),
        ("resnet18", None, {"options": {"global_pool": "nope"}}, ModelError,
            "backbone 'resnet18' cannot be built for its own size: AssertionError: Invalid pool type: nope"),
        ("resnet18.nope", 32, {}, UsageError,
            "model.backbone: Invalid pretrained tag (nope) for resnet18. Leave the tag out for the default weights"),
        ("resnet18.nope", 32, {"pretrained": True}, UsageError,
            "model.backbone: Invalid pretrained tag (nope) for resnet18. Leave the tag out for the default weights"),
        ("seresnet34", 32, {"pretrained": True}, ModelError,
            f"backbone 'seresnet34' has no published weights. {NEXT}"),
    ],
)  # fmt: skip
def test_what_cannot_be_built(backbone, size, options, error, message):
    with pytest.raises(error) as caught:
        build_backbone(spec(backbone, **options), size)
    assert type(caught.value) is error
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["test_resnet", "timm:test_resnet", "test_resnet.r160_in1k"])
def test_names_of_timm(name):
    assert type(build_backbone(spec(name), 32)).__name__ == "ResNet"


@pytest.mark.parametrize(
    ("name", "size", "options", "found"),
    [
        ("test_vit", 32, {}, lambda m: m.patch_embed.img_size == (32, 32)),
        ("test_vit", None, {}, lambda m: m.patch_embed.img_size == (160, 160)),
        ("test_vit", 48, {"img_size": 48}, lambda m: m.patch_embed.img_size == (48, 48)),
        ("test_vit", 32, {"global_pool": "avg"}, lambda m: m.global_pool == "avg"),
        ("swin_tiny_patch4_window7_224", 64, {}, lambda m: m.patch_embed.img_size == (64, 64)),
        ("resnet18", 32, {"drop_rate": 0.3}, lambda m: m.drop_rate == 0.3),
    ],
)
def test_size_and_options_reach_the_model(name, size, options, found):
    assert found(build_backbone(spec(name, options=options), size))


def test_in_chans():
    assert build_backbone(spec(in_chans=1), 32).conv1[0].weight.shape[1] == 1


def test_native_size():
    assert [native_size(build_backbone(spec(n), None)) for n in ("test_vit", "inception_v3")] == [160, 299]
    assert native_size(build_backbone(spec("test_vit", options={"img_size": 48}), None)) == 48


@pytest.mark.parametrize(
    ("backbone", "size", "prefixes"),
    [
        ("resnet18", 32, ("fc.",)),
        ("densenet121", 32, ("classifier.",)),
        ("deit_tiny_distilled_patch16_224", 32, ("head.", "head_dist.")),
        ("levit_128s", 64, ("head.bn.", "head.linear.", "head_dist.bn.", "head_dist.linear.")),
        ("test_convnext", 32, ("head.fc.",)),
    ],
)
def test_classifier_prefixes(backbone, size, prefixes):
    assert classifier_prefixes(build_backbone(spec(backbone), size)) == prefixes


def test_weights_from_a_file_fill_all_but_the_classifier(weights):
    model, fresh = build_backbone(spec(pretrained=str(weights)), 32), timm.create_model("test_resnet", num_classes=10)
    fresh.load_state_dict(load_file(weights))
    assert model.num_classes == 1000
    same = [k for k, v in model.state_dict().items() if v.shape == fresh.state_dict()[k].shape]
    assert {k for k in fresh.state_dict() if k not in same} == {"fc.weight", "fc.bias"}
    assert all(torch.equal(model.state_dict()[k], fresh.state_dict()[k]) for k in same)
    assert classifier(pretrained=str(weights)).fc.weight.shape == (5, 96)


@pytest.mark.parametrize("lost", [("fc.weight", "fc.bias"), ()])
def test_weights_without_a_classifier(tmp_path, weights, lost):
    tensors = {k: v for k, v in load_file(weights).items() if k not in lost}
    save_file(tensors, tmp_path / "model.safetensors")
    model = build_backbone(spec(pretrained=str(tmp_path)), 32)
    assert torch.equal(model.conv1[0].weight, tensors["conv1.0.weight"])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"backbone": "resnet18"}, "model.pretrained: {path} holds other weights than this backbone's: 64 missing "
            "(conv1.weight, layer1.1.bn1.bias), 34 unknown (conv1.0.weight, conv1.1.bias)"),
        ({"in_chans": 1},
            "model.pretrained: {path}: 'conv1.0.weight' is (16, 3, 3, 3), the backbone has (16, 1, 3, 3)"),
    ],
)  # fmt: skip
def test_weights_of_something_else(weights, model, message):
    with pytest.raises(ModelError) as caught:
        build_backbone(spec(**model, pretrained=str(weights)), 32)
    assert str(caught.value) == message.format(path=weights)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no weights at '{path}'"),
        (slice(0), "{path} (0 bytes) is damaged: Error while deserializing header: header too small. "
            "Fetch or train it again"),
        (slice(5000), "{path} (5,000 bytes) is damaged: Error while deserializing header: invalid header length. "
            "Fetch or train it again"),
        (slice(-1), "{path} ({size:,} bytes) is damaged: Error while deserializing header: incomplete metadata, file "
            "not fully covered. Fetch or train it again"),
    ],
)  # fmt: skip
def test_damaged_weights(tmp_path, weights, content, message):
    path = tmp_path / "damaged.safetensors"
    if content is not None:
        path.write_bytes(weights.read_bytes()[content])
    with pytest.raises(ModelError) as caught:
        build_backbone(spec(pretrained=str(path)), 32)
    size = path.stat().st_size if path.exists() else 0
    assert str(caught.value) == message.format(path=path, size=size)


def test_a_pickle_is_refused_by_its_name(tmp_path):
    with pytest.raises(UsageError) as caught:
        load_weights(build_backbone(spec(), 32), tmp_path / "w.pth")
    assert str(caught.value) == (
        f"model.pretrained: '{tmp_path}/w.pth' is not a safetensors file; only safetensors weights are read"
    )


def test_architecture_alone_needs_no_weights():
    torch.manual_seed(0)
    build_backbone(spec("seresnet34", pretrained="/nowhere/w.safetensors"), 32, weights=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder as timm itself writes it: 10 classes, grey, 32 px."""
    torch.manual_seed(3)
    model = timm.create_model("test_vit", num_classes=10, in_chans=1, img_size=32)
    timm.models.save_for_hf(model, tmp_path / "timm", safe_serialization=True)
    return tmp_path / "timm"


def test_a_local_folder_is_a_backbone(folder):
    model = build_backbone(spec(f"local-dir:{folder}", in_chans=1, pretrained=True), 48)
    tensors = load_file(folder / "model.safetensors")
    assert (model.num_classes, model.patch_embed.img_size) == (10, (48, 48))
    assert torch.equal(model.blocks[0].attn.qkv.weight, tensors["blocks.0.attn.qkv.weight"])
    assert torch.equal(model.patch_embed.proj.weight, tensors["patch_embed.proj.weight"])
    coloured = build_backbone(spec(f"local-dir:{folder}", pretrained=True), 32)
    assert coloured.patch_embed.proj.weight.shape[1] == 3
    random = build_backbone(spec(f"local-dir:{folder}", in_chans=1), 32)
    assert not torch.equal(random.blocks[0].attn.qkv.weight, tensors["blocks.0.attn.qkv.weight"])


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda f: (f / "config.json").unlink(), UsageError, "model.backbone: 'local-dir:{folder}' has no config.json; "
            "local-dir: takes a model folder, as in RUN/model"),
        (lambda f: (f / "model.safetensors").unlink(), ModelError, "no weights at '{folder}/model.safetensors'"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), ModelError,
            "no weights at '{folder}/model.safetensors'"),
        (lambda f: (f / "config.json").write_text("{"), ModelError, "backbone 'local-dir:{folder}' cannot be built for "
            "32 px: JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    ],
)  # fmt: skip
def test_a_local_folder_that_is_none(folder, spoil, error, message):
    spoil(folder)
    with pytest.raises(error) as caught:
        build_backbone(spec(f"local-dir:{folder}", in_chans=1, pretrained=True), 32)
    assert str(caught.value) == message.format(folder=folder)


def test_one_line():
    assert one_line("a:\n\tb  c") == "a: b c"
    assert one_line("x" * 301) == "x" * 300 + " ..."
