import pytest
import timm
import torch
from small import CLASSES, classifier, images
from torch import nn

from zoo.contracts import HEAD
from zoo.models.classifier import Classifier
from zoo.models.param_groups import parameter_groups

FAMILIES = {  # name: (image size, groups)
    "resnet18": (32, 6),
    "densenet121": (32, 7),
    "vit_tiny_patch16_224": (32, 14),
    "mobilenetv3_small_050": (32, 9),
    "levit_128s": (64, 5),
    "deit_tiny_distilled_patch16_224": (32, 14),
    "swin_tiny_patch4_window7_224": (64, 7),
    "tf_efficientnet_lite0": (32, 9),
    "repvgg_a0": (32, 6),
    "dla34": (32, 8),
    "xcit_nano_12_p16_224": (64, 16),
    "inception_v3": (96, 14),
    "poolformer_s12": (32, 7),  # no group_matcher
    "pit_ti_224": (64, 6),  # no group_matcher
    "rdnet_tiny": (32, 11),  # a coarse group_matcher that fails
    "test_vit2": (32, 11),
    "test_convnext": (32, 7),
    "test_byobnet": (32, 6),
    "test_nfnet": (32, 6),
    "test_mambaout": (32, 7),
}
IDLE = {  # what belongs to timm's own head, and is no part of another one
    "mobilenetv3_small_050": {"conv_head.weight", "conv_head.bias"},
    "poolformer_s12": {"head.norm.weight", "head.norm.bias"},
    "rdnet_tiny": {"head.norm.weight", "head.norm.bias"},
    "test_vit2": {"fc_norm.weight", "fc_norm.bias"},
    "test_convnext": {"head.norm.weight", "head.norm.bias"},
    "test_mambaout": {f"head.{name}.{kind}" for name in ("norm", "pre_logits.fc") for kind in ("weight", "bias")},
}


def first_calls(model: nn.Module, inputs: torch.Tensor) -> list[str]:
    """Names of the parameters of each module, in the order in which the modules are first called."""
    calls: dict[nn.Module, None] = {}
    hooks = [m.register_forward_pre_hook(lambda m, _: calls.setdefault(m)) for m in model.modules()]
    with torch.inference_mode():
        model.eval()(inputs)
    for hook in hooks:
        hook.remove()
    names = {module: name for name, module in model.named_modules()}
    return [f"{names[m]}.{own}" for m in calls if m is not model for own, _ in m.named_parameters(recurse=False)]


@pytest.mark.parametrize("head", ["linear", "mlp"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_that_counts_is_in_one_group_stem_first(family, head):
    size, count = FAMILIES[family]
    model = classifier(family, size, head)
    groups = parameter_groups(model, size)
    assert list(groups) == ["stem", *(f"stage{i}" for i in range(1, len(groups) - 1)), HEAD]
    assert all(groups.values())
    grouped = [name for names in groups.values() for name in names]
    idle = {f"backbone.{name}" for name in IDLE.get(family, ())} if head == "mlp" else set()
    assert sorted([*grouped, *idle]) == sorted(name for name, _ in model.named_parameters())

    group_of = {name: i for i, names in enumerate(groups.values()) for name in names}
    order = [group_of[name] for name in first_calls(model, images(1, size)) if name in group_of]
    firsts = list(dict.fromkeys(order))
    assert firsts == sorted(firsts) and len(firsts) == len(groups)

    model.train()(images(2, size)).square().sum().backward()
    without = {name for name, p in model.named_parameters() if p.grad is None}
    assert without == idle
    if head == "linear":
        assert len(groups) == count


@pytest.mark.parametrize("family", ["resnet18", "levit_128s", "deit_tiny_distilled_patch16_224", "test_convnext"])
def test_the_last_group_is_all_that_depends_on_the_classes(family):
    size = FAMILIES[family][0]
    ten = timm.create_model(family, num_classes=10, **({"img_size": size} if family == "levit_128s" else {}))
    groups = parameter_groups(ten, 224)
    by_class = {name for name, p in ten.named_parameters() if p.shape[0] == 10}
    assert by_class <= set(groups[HEAD])
    assert {name.rpartition(".")[0].split(".")[0] for name in groups[HEAD]} == {name.split(".")[0] for name in by_class}


class Bare(nn.Module):
    """A backbone with parameters of its own and containers, and no group_matcher."""

    pretrained_cfg = {"input_size": (3, 8, 8)}  # noqa: RUF012
    num_features = 4

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3, 1, 1))
        self.entry = nn.Conv2d(3, 4, 1)
        self.stages = nn.ModuleList([nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)), nn.Conv2d(4, 4, 1)])
        self.norm = nn.BatchNorm2d(4)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        x = self.entry(x * self.scale)
        for stage in self.stages:
            x = stage(x)
        return self.norm(x)


def test_without_a_matcher_containers_count_child_by_child_and_loose_parameters_are_the_stem():
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, len(CLASSES)))
    assert parameter_groups(Classifier(Bare(), head), 8) == {
        "stem": ("backbone.scale", "backbone.entry.weight", "backbone.entry.bias"),
        "stage1": tuple(f"backbone.stages.0.{i}.{kind}" for i in (0, 1) for kind in ("weight", "bias")),
        "stage2": ("backbone.stages.1.weight", "backbone.stages.1.bias"),
        "stage3": ("backbone.norm.weight", "backbone.norm.bias"),
        "head": ("head.2.weight", "head.2.bias"),
    }


def test_grouping_leaves_the_model_as_it_was():
    model = classifier(head="mlp").train()
    model.backbone.layer1.eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    parameter_groups(model, 32)
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
