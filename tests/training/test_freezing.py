from collections.abc import Callable

import pytest
import torch
from small import classifier, images, recipe
from timm.layers import (
    BatchNormAct2d,
    DropPath,
    EvoNorm2dS0,
    FrozenBatchNormAct2d,
    LayerNorm2d,
    RmsNorm,
)
from timm.layers.grn import GlobalResponseNorm
from torch import nn

from zoo.config.recipe import Optim
from zoo.contracts import HEAD, Phase
from zoo.errors import UsageError
from zoo.models.classifier import Classifier
from zoo.models.mode import evaluating
from zoo.models.param_groups import parameter_groups
from zoo.training.freezing import find_biases, find_norms, freeze, select_trainable, set_train_mode
from zoo.training.optim import build_optimizer
from zoo.training.plan import plan_phases


class Plain(nn.Module):
    """A backbone with batch norms that have no weights, and dropout after its stem."""

    pretrained_cfg = {"input_size": (3, 32, 32)}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False), nn.ReLU(), nn.Dropout(0.3))
        self.body = nn.Conv2d(4, 4, 3)
        self.norm = nn.BatchNorm2d(4, affine=False)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.body(self.stem(x)))


def plain() -> nn.Module:
    torch.manual_seed(0)
    return Classifier(Plain(), nn.Sequential(nn.Dropout(0.2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)))


VIT = {"proj_drop_rate": 0.1, "attn_drop_rate": 0.1, "drop_path_rate": 0.3, "pos_drop_rate": 0.1}
FAMILIES: dict[str, tuple[int, Callable[[], nn.Module]]] = {
    "resnet": (32, lambda: classifier("test_resnet", 32, {"name": "linear", "dropout": 0.2}, options={"drop_path_rate": 0.3})),
    "densenet": (32, lambda: classifier("densenet121", options={"drop_rate": 0.2})),
    "vit": (32, lambda: classifier("test_vit", options=VIT)),
    "vit-mlp": (32, lambda: classifier("test_vit2", 32, {"name": "mlp", "dropout": 0.2}, options=VIT)),
    "levit": (64, lambda: classifier("levit_128s", 64, options={"drop_path_rate": 0.3})),
    "mobilenet-mlp": (32, lambda: classifier("mobilenetv3_small_050", 32, "mlp", options={"drop_path_rate": 0.3})),
    "convnext": (32, lambda: classifier("test_convnext", options={"drop_path_rate": 0.3})),
    "no-affine": (32, plain),
}  # fmt: skip
SCHEDULES = [
    "none", "linear-probe", {"name": "two-stage", "head_epochs": 2}, "gradual", {"name": "first-k", "k": 2}, "surgical",
    "norm-only", "bias-only", "freeze-out", "discriminative",
]  # fmt: skip


def tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def frozen_state(model: nn.Module) -> set[str]:
    """Names of frozen parameters, and of buffers that follow one in the order of modules, as norms follow convolutions.

    Statistics of a norm of which only the bias trains are frozen.
    """
    names, frozen = set(), False
    for prefix, module in model.named_modules(prefix="."):
        own = dict(module.named_parameters(recurse=False))
        frozen = not all(p.requires_grad for p in own.values()) if own else frozen
        names |= {f"{prefix}.{name}" for name, p in own.items() if not p.requires_grad}
        names |= {f"{prefix}.{name}" for name, _ in module.named_buffers(recurse=False) if frozen}
    return {name.lstrip(".") for name in names} & set(model.state_dict())


def restless(model: nn.Module, x: torch.Tensor) -> list[str]:
    """Modules whose parameters are all frozen and that do not give what they give in eval mode for the same input."""
    inputs: dict[nn.Module, tuple[list, dict]] = {}
    outputs: dict[nn.Module, torch.Tensor] = {}

    def copied(value: object) -> object:
        """What later modules may change in place, or append to."""
        if isinstance(value, list):
            return [copied(v) for v in value]
        return value.clone() if isinstance(value, torch.Tensor) else value

    def before(module: nn.Module, args: tuple, kwargs: dict) -> None:
        inputs[module] = (copied(list(args)), {k: copied(v) for k, v in kwargs.items()})

    def after(module: nn.Module, args: tuple, output: torch.Tensor) -> None:
        outputs[module] = output.clone()

    frozen = {
        module: name
        for name, module in model.named_modules()
        if (own := list(module.parameters())) and not any(p.requires_grad for p in own)
    }
    hooks = [
        h
        for m in frozen
        for h in (m.register_forward_pre_hook(before, with_kwargs=True), m.register_forward_hook(after))
    ]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    with evaluating(model), torch.no_grad():
        return [frozen[m] for m, out in outputs.items() if not torch.equal(m(*inputs[m][0], **inputs[m][1]), out)]


@pytest.mark.parametrize("family", FAMILIES)
def test_frozen_is_frozen_and_the_rest_trains_in_every_phase_of_every_schedule(family):
    size, make = FAMILIES[family]
    x = images(4, size)
    for schedule in SCHEDULES:
        if (schedule, family) == ("norm-only", "no-affine"):
            continue
        model = make()
        groups = parameter_groups(model, size)
        objects = dict(model.named_parameters())
        phases = plan_phases(recipe(schedule=schedule, train={"epochs": 3}), groups)
        for phase in phases:
            freeze(model, groups, phase)
            set_train_mode(model, False)
            frozen, kept = frozen_state(model), tensors(model)
            assert not restless(model, x), (schedule, phase)
            optimizer = build_optimizer(model, groups, phase, Optim(weight_decay=0.1))
            torch.manual_seed(3)
            model(x).square().sum().backward()
            moving = [name for names in select_trainable(model, groups, phase).values() for name in names]
            assert {name for name, p in model.named_parameters() if p.grad is not None} == set(moving)
            held = [id(p) for group in optimizer.param_groups for p in group["params"]]
            assert sorted(held) == sorted(id(objects[name]) for name in moving), "the optimiser holds exactly these"
            optimizer.step()
            now = tensors(model)
            assert all(torch.equal(now[name], kept[name]) for name in frozen)
            assert any(not torch.equal(now[name], kept[name]) for name in moving)
            assert all(p is objects[name] for name, p in model.named_parameters())


@pytest.mark.parametrize("family", ["resnet", "levit", "no-affine"])
def test_statistics_move_where_weights_train_unless_they_are_frozen(family):
    size, make = FAMILIES[family]
    for fixed in (True, False):
        model = make()
        groups = parameter_groups(model, size)
        freeze(model, groups, Phase(1, tuple(groups)))
        set_train_mode(model, fixed)
        before = tensors(model)
        model(images(4, size)).sum().backward()
        statistics = [name for name in before if name.endswith(("running_mean", "running_var"))]
        moved = [not torch.equal(model.state_dict()[name], before[name]) for name in statistics]
        assert len(moved) >= 4 and not any(moved) if fixed else all(moved)
        assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("kind", ["norm", "bias"])
def test_statistics_move_with_whole_norms_and_stay_where_only_biases_train(kind, fixed):
    model = FAMILIES["mobilenet-mlp"][1]()
    model.head = nn.Sequential(model.head, nn.BatchNorm1d(5))  # the head trains whole, so its statistics move
    groups = parameter_groups(model, 32)
    freeze(model, groups, Phase(1, tuple(groups), parameters=kind))
    set_train_mode(model, fixed)
    before = tensors(model)
    model(images())
    moved = {n for n, t in model.state_dict().items() if not torch.equal(t, before[n])}
    below = {n for n in before if n.startswith("backbone.") and n.endswith(("running_mean", "running_var"))}
    head = {n for n in before if n.startswith("head.") and n.endswith(("running_mean", "running_var"))}
    assert len(below) > 20 and len(head) == 2
    counts = {n for n in before if n.endswith("num_batches_tracked")}
    assert moved - counts == (set() if fixed else below | head if kind == "norm" else head)


class Own(nn.Module):
    """Norms of many makes, and what only sounds like one."""

    def __init__(self) -> None:
        super().__init__()

        class MyNorm(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.gain = nn.Parameter(torch.ones(4, 1, 1))

        class NormProjection(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weight = nn.Parameter(torch.ones(4, 4))
                self.norm = MyNorm()

        class NormFreeBlock(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.gain = nn.Parameter(torch.ones(()))

        self.batch, self.layer, self.group = nn.BatchNorm2d(4), nn.LayerNorm((4, 4, 4)), nn.GroupNorm(2, 4)
        self.rms, self.act, self.evo = nn.RMSNorm(4), BatchNormAct2d(4), EvoNorm2dS0(16)
        self.timm_rms, self.two_d, self.response = RmsNorm(4), LayerNorm2d(4), GlobalResponseNorm(4)
        self.frozen, self.own, self.projection, self.free = (
            FrozenBatchNormAct2d(4),
            MyNorm(),
            NormProjection(),
            NormFreeBlock(),
        )
        self.conv, self.attention = nn.Conv2d(4, 4, 1), nn.MultiheadAttention(4, 2)
        self.q_bias, self.bias_table = nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(4, 2))


def test_what_counts_as_a_norm():
    found = {name.partition(".")[0] for name in find_norms(Own())}
    assert found == {
        "batch",
        "layer",
        "group",
        "rms",
        "act",
        "evo",
        "timm_rms",
        "two_d",
        "response",
        "own",
        "projection",
    }
    assert {n for n in find_norms(Own()) if n.startswith(("projection", "evo"))} == {
        "projection.norm.gain", "evo.weight", "evo.bias", "evo.v",
    }  # fmt: skip


def test_what_counts_as_a_bias():
    found = set(find_biases(Own()))
    assert {"conv.bias", "attention.in_proj_bias", "attention.out_proj.bias", "q_bias", "batch.bias"} <= found
    assert not {n for n in found if not n.endswith("bias")}


@pytest.mark.parametrize("make", [plain, lambda: classifier("test_nfnet")], ids=["no-affine", "nfnet"])
def test_a_model_without_norms_is_refused(make):
    model = make()
    groups = parameter_groups(model, 32)
    with pytest.raises(UsageError) as caught:
        build_optimizer(model, groups, Phase(1, tuple(groups), parameters="norm"), Optim())
    assert str(caught.value) == (
        "schedule: trains only normalisation layers below the head, of which this model has none. "
        "Try schedule=linear-probe or schedule=first-k"
    )


def test_a_phase_of_one_kind_takes_only_its_groups():
    model = classifier("test_resnet")
    groups = parameter_groups(model, 32)
    found = select_trainable(model, groups, Phase(1, ("stage1", HEAD), parameters="norm"))
    assert list(found) == ["stage1", HEAD] and found[HEAD] == groups[HEAD]
    assert found["stage1"] and all("bn" in name or "downsample" in name for name in found["stage1"])
    assert set(found["stage1"]) < set(groups["stage1"])


DROPS = (nn.Dropout, DropPath)


def active(model: nn.Module) -> set[str]:
    return {name for name, m in model.named_modules() if isinstance(m, DROPS) and m.training}


def test_dropout_follows_its_block_and_between_blocks_what_comes_after_it():
    model = FAMILIES["vit"][1]()
    groups = parameter_groups(model, 32)
    every = {name for name, m in model.named_modules() if isinstance(m, DROPS)}
    of_block = {i: {name for name in every if name.startswith(f"blocks.{i}.")} for i in range(6)}
    assert all(len(names) > 2 for names in of_block.values())

    def in_phase(*trainable: str) -> set[str]:
        freeze(model, groups, Phase(1, trainable))
        set_train_mode(model, False)
        return active(model)

    assert in_phase(*groups) == every
    assert in_phase(HEAD) == {"head_drop"}
    assert in_phase("stage6", HEAD) == of_block[5] | {"head_drop"}
    assert in_phase(*list(groups)[1:]) == every  # what the stem's dropout feeds trains


def test_a_stale_gradient_of_a_frozen_parameter_is_dropped():
    model = classifier()
    groups = parameter_groups(model, 32)
    model(images()).sum().backward()
    freeze(model, groups, Phase(1, (HEAD,)))
    assert {name for name, p in model.named_parameters() if p.grad is not None} == set(groups[HEAD])
    freeze(model, groups, Phase(1, ("stem", HEAD)))
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {*groups["stem"], *groups[HEAD]}


def test_running_statistics_of_any_class_are_frozen():
    class Evo(nn.Module):  # as timm's EvoNorm2dB0: no batch norm by class
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2))
            self.register_buffer("running_var", torch.ones(2))

    model = nn.Sequential(Evo(), nn.InstanceNorm2d(2), nn.Linear(2, 2))
    for fixed in (True, False):
        set_train_mode(model, fixed)
        assert [m.training for m in model] == [not fixed, True, True]


def test_the_top_of_a_cut_model_trains_alone():
    top = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 5))
    set_train_mode(top, True)
    assert [m.training for m in top.modules()] == [True, True, True]
