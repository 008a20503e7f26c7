import json

import pytest
import timm
import torch
from processes import here, tiny
from small import CLASSES, classifier, images, logits, recipe, spec

import zoo
from zoo.config.loading import parse_recipe
from zoo.data.image_store import EvalTransform
from zoo.data.loader import Normalise
from zoo.errors import ModelError, RecipeError, UsageError
from zoo.models.backbone import build_backbone
from zoo.models.classifier import Classifier, build_classifier, halves
from zoo.models.param_groups import parameter_groups
from zoo.models.saved import readable_by_timm, save_model
from zoo.models.transfer import ConcatBackbones, PretrainedLogits, TruncatedBackbone, stage_names
from zoo.verbs.evaluate import evaluate
from zoo.verbs.finetune import finetune

WAYS = {
    "stack": {"top": "stack"},
    "stack under an mlp": {"top": "stack", "head": {"name": "mlp", "hidden": 8}},
    "insert": {"insert": 6},
    "insert under an mlp": {"insert": 6, "head": {"name": "mlp", "hidden": 8}},
    "insert on a stack": {"insert": 6, "top": "stack"},
    "cut": {"cut": "layer2"},
    "cut under an mlp": {"cut": "layer2", "head": {"name": "mlp", "hidden": 8}},
    "concat": {"concat": ["test_vit", "test_convnext"]},
}
CUTS = {  # family: (stage, image size)
    "resnet18": ("layer3", 32),
    "densenet121": ("denseblock2", 32),
    "vit_tiny_patch16_224": ("blocks.3", 32),
    "tf_efficientnet_lite0": ("blocks.2", 32),
    "mobilenetv3_small_050": ("blocks.3", 32),
    "convnext_atto": ("stages.1", 32),
    "swin_tiny_patch4_window7_224": ("layers.1", 64),
    "vgg11": ("features.9", 32),
    "inception_v3": ("Mixed_6e", 96),
    "xception41": ("blocks.2.stack.act3", 64),
    "seresnet18": ("layer2", 32),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_gives_logits_gradients_and_complete_groups(way):
    model = classifier(**WAYS[way])
    assert logits(model, images()).shape == (4, 5)
    groups = parameter_groups(model, 32)
    grouped = [name for members in groups.values() for name in members]
    assert len(grouped) == len(set(grouped))
    model.train()(images()).sum().backward()
    named = dict(model.named_parameters())
    assert {name for name, p in named.items() if p.grad is not None} == set(grouped)
    assert groups["head"] and len(groups) > 2


@pytest.mark.parametrize("way", WAYS)
def test_every_way_is_saved_and_loaded_bit_for_bit(way, tmp_path):
    model, folder = classifier(**WAYS[way]), tmp_path / "model"
    made = recipe(**WAYS[way])
    save_model(
        folder,
        model,
        made,
        CLASSES,
        EvalTransform(32, 1.0, 3),
        Normalise((0.5,) * 3, (0.5,) * 3, False),
        lambda config: "# card\n",
    )
    assert torch.equal(logits(zoo.load(folder).model, images()), logits(model, images()))
    if readable_by_timm(model) == "nothing":
        with pytest.raises(RuntimeError, match="zoo-only"):
            timm.create_model(f"local-dir:{folder}", pretrained=True)
    else:
        plain = timm.create_model(f"local-dir:{folder}", pretrained=True)
        inner = getattr(model.backbone, "backbone", model.backbone)
        assert torch.equal(logits(plain, images()), logits(inner, images()))


def test_stacking_keeps_the_pretrained_classifier_below_a_linear_layer():
    torch.manual_seed(0)
    plain = build_backbone(spec(), 32)
    torch.manual_seed(0)
    model = build_classifier(spec(top="stack"), 5, 32)
    assert isinstance(model.backbone, PretrainedLogits)
    assert torch.equal(logits(model.backbone.backbone, images()), logits(plain, images()))
    assert [tuple(p.shape) for p in model.head.parameters()] == [(5, 1000), (5,)]
    assert "backbone.backbone.fc.weight" in parameter_groups(model, 32)["stage5"]


def test_an_inserted_block_starts_as_the_identity_and_belongs_to_the_head():
    with_block, without = classifier(insert=6, head="mlp"), classifier(head="mlp")
    without.load_state_dict(
        {k.replace("head.head.", "head."): v for k, v in with_block.state_dict().items() if ".block." not in k}
    )
    assert torch.equal(logits(with_block, images()), logits(without, images()))
    assert "head.block.down.weight" in parameter_groups(with_block, 32)["head"]


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit", "mobilenetv3_small_050", "densenet121"])
def test_a_block_before_a_kept_classifier_changes_nothing_at_first(backbone, tmp_path):
    torch.manual_seed(0)
    plain = build_backbone(spec(backbone, options={"num_classes": 5}), 32)
    torch.manual_seed(0)
    model = build_classifier(spec(backbone, options={"num_classes": 5}, top="keep", insert=4), 5, 32)
    assert isinstance(model, Classifier)
    assert torch.equal(logits(model, images()), logits(plain, images()))
    made = recipe(backbone, options={"num_classes": 5}, top="keep", insert=4)
    normalise = Normalise((0.5,) * 3, (0.5,) * 3, False)
    save_model(
        tmp_path / "model", model, made, CLASSES, EvalTransform(32, 1.0, 3), normalise, lambda config: "# card\n"
    )
    assert torch.equal(logits(zoo.load(tmp_path / "model").model, images()), logits(model, images()))


def test_a_kept_classifier_stays_a_plain_timm_model():
    model = build_classifier(spec(options={"num_classes": 5}, top="keep"), 5, 32)
    assert not isinstance(model, Classifier)
    assert parameter_groups(model, 32)["head"] == ("fc.weight", "fc.bias")


def test_a_kept_classifier_of_other_classes_is_refused():
    with pytest.raises(UsageError) as caught:
        build_classifier(spec(top="keep"), 5, 32)
    assert str(caught.value) == (
        "model.top=keep: the classifier of 'test_resnet' gives 1000 classes, the data have 5. Use model.top=stack (a new "
        "layer on its outputs) or model.top=replace"
    )


@pytest.mark.parametrize("family", CUTS)
def test_a_cut_computes_what_timm_taps_there_with_fewer_parameters(family):
    stage, size = CUTS[family]
    torch.manual_seed(0)
    whole = build_backbone(spec(family), size).eval()
    index = next(i for i, name in enumerate(stage_names(whole)) if name.endswith(stage))
    x = images(2, size)
    with torch.inference_mode():
        tapped = whole.forward_intermediates(x, indices=[index], intermediates_only=True)[-1]
    torch.manual_seed(0)
    model = build_classifier(spec(family, cut=stage), 5, size).eval()
    assert isinstance(model.backbone, TruncatedBackbone)
    with torch.inference_mode():
        assert torch.equal(model.backbone.forward_features(x), tapped)
    count = sum(p.numel() for p in model.backbone.parameters())
    assert count < sum(p.numel() for p in whole.parameters()) * 0.9
    groups = parameter_groups(model, size)
    assert sum(map(len, groups.values())) == sum(1 for _ in model.parameters())


def test_an_unknown_stage_offers_those_that_are_there():
    with pytest.raises(UsageError) as caught:
        build_classifier(spec(cut="layer7"), 5, 32)
    assert str(caught.value).startswith(
        "model.cut: ResNet has no stage 'layer7' (has: act1, layer1, layer2, layer3, layer4)."
    )


def test_backbones_side_by_side_see_images_normalised_as_each_was_pretrained():
    members = [build_backbone(spec(name), 32).eval() for name in ("test_resnet", "test_vit")]
    members[1].pretrained_cfg = {**members[1].pretrained_cfg, "mean": (0.1, 0.2, 0.3), "std": (0.2, 0.4, 0.5)}
    for member in members:
        member.reset_classifier(0)
    pixels = torch.rand(2, 3, 32, 32)

    def normalised(member: torch.nn.Module) -> torch.Tensor:
        mean, std = (torch.tensor(member.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
        return (pixels - mean) / std

    with torch.inference_mode():
        together = ConcatBackbones(members, 3).forward_features(normalised(members[0]))
        alone = torch.cat([member(normalised(member)) for member in members], 1)
    torch.testing.assert_close(together, alone)


def test_stages_of_backbones_side_by_side_are_joined_from_the_top_down():
    groups = parameter_groups(classifier("test_resnet", concat=["test_vit"]), 32)
    stems = {name.split(".")[2] for name in groups["stem"]}
    assert len(stems) == 1, "the deeper one begins alone"
    *_, last, _ = groups.values()
    assert {name.split(".")[2] for name in last} == {"0", "1"}


@pytest.mark.parametrize("way", ["stack", "insert", "cut", "concat"])
def test_features_are_cached_under_every_way(way):
    model = classifier(**WAYS[way]).eval()
    cut = halves(model, images())
    with torch.inference_mode():
        assert torch.equal(cut.top(cut.features(images())), model(images()))


@pytest.mark.parametrize("backbone", ["crossvit_tiny_240", "coat_tiny", "efficientvim_m1"])
def test_a_backbone_whose_features_are_a_list_is_read_at_its_last_map(backbone):
    size = 240 if "crossvit" in backbone else 64
    model = build_classifier(spec(backbone, head="mlp"), 5, size)
    assert logits(model, images(1, size)).shape == (1, 5)


FAULTS = {
    "{backbone: test_resnet, top: keep, head: mlp}": "model.head: model.top=keep keeps the backbone's own classifier; leave model.head out",
    "{backbone: test_resnet, top: stack, cut: layer2}": "model.cut: goes with model.top=replace only, found 'stack': no classifier is left to stack",
    "{backbone: test_resnet, concat: [test_vit], cut: layer2}": "model.cut: cannot be combined with model.concat",
    "{backbone: test_resnet, concat: ['local-dir:x']}": "model.concat: takes timm names and plugin backbones, found 'local-dir:x'",
    "{backbone: test_resnet, top: sideways}": "model.top: expected 'replace', 'stack' or 'keep', found 'sideways'",
    "{backbone: test_resnet, insert: 0}": "model.insert: expected greater than or equal to 1, found 0",
}


@pytest.mark.parametrize("model", FAULTS)
def test_what_does_not_go_together_is_refused(model):
    with pytest.raises(RecipeError) as caught:
        parse_recipe(f"model: {model}\ndata: {{source: x}}\n", "r.yaml")
    assert caught.value.faults == (f"r.yaml:1: {FAULTS[model]}",)


def test_a_model_that_cannot_be_cut_says_so():
    with pytest.raises((ModelError, UsageError), match=r"model\.cut: "):
        build_classifier(spec("test_resnet", cut="fc"), 5, 32)


@pytest.mark.parametrize("way", ["stack", "insert", "cut", "concat"])
def test_every_way_trains_resumes_its_plan_and_predicts(way, tmp_path):
    settings = [f"model.{key}={json.dumps(value)}" for key, value in WAYS[way].items()]
    out = tmp_path / "run"
    finetune(str(tiny(tmp_path)), ["model.head=linear", *settings, "train.epochs=2"], out)
    plain = (out / "model" / "README.md").read_text()
    assert ("timm.create_model" in plain) == (way in ("stack", "insert"))
    metrics = json.loads((out / "metrics.json").read_text())
    assert evaluate(out)["accuracy"] == metrics["accuracy"]


def test_keep_through_the_command_line_names_the_classes(tmp_path):
    refused = here(
        "finetune", "--recipe", tiny(tmp_path), "model.top=keep", "model.head=linear", "--out", tmp_path / "run"
    )
    assert refused.returncode == 2
    assert "model.top=keep: the classifier of 'test_resnet' gives 1000 classes, the data have 10." in refused.stderr
