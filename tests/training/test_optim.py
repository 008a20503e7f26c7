import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from small import classifier, images
from torch import nn

from zoo.config.recipe import Optim
from zoo.contracts import HEAD, Phase
from zoo.errors import UnknownName, UsageError
from zoo.models.param_groups import parameter_groups
from zoo.schedules.rate import lr_factor
from zoo.training import checkpoint
from zoo.training.freezing import freeze
from zoo.training.optim import (
    build_optimizer,
    layer_factors,
    pack_state,
    set_lr,
    unpack_state,
)
from zoo.training.optim import optimizer_groups as torch_groups


@pytest.mark.parametrize("head", ["linear", "mlp"])
@pytest.mark.parametrize(
    ("backbone", "exempt"),
    [
        ("resnet18", set()),
        ("test_vit", {"cls_token", "pos_embed"}),
        ("swin_tiny_patch4_window7_224", {"relative_position_bias_table"}),
        ("test_nfnet", {"gain"}),  # scales of shape (C, 1, 1, 1)
    ],
)
def test_only_matrices_decay(backbone, exempt, head):
    model = classifier(backbone, 64 if "swin" in backbone else 32, head)
    groups = parameter_groups(model, 64 if "swin" in backbone else 32)
    names = {id(p): name for name, p in model.named_parameters()}
    made = list(torch_groups(model, groups, Phase(1, tuple(groups)), Optim(weight_decay=0.1)))
    decay = {names[id(p)]: group["weight_decay"] for group in made for p in group["params"]}
    assert set(decay) == {name for names in groups.values() for name in names}
    free = {name for name, value in decay.items() if value == 0}
    assert {value for name, value in decay.items() if name not in free} == {0.1}
    matrices = {n for n, p in model.named_parameters() if p.ndim > 1 and n.rpartition(".")[2] not in exempt}
    assert free == set(decay) - matrices
    assert all(any(name.rpartition(".")[2] == word for name in free) for word in exempt)


def test_rates_by_group_and_phase():
    model = classifier("test_resnet")
    groups = parameter_groups(model, 32)
    phase = Phase(1, ("stage4", HEAD), {HEAD: 10.0})
    made = build_optimizer(model, groups, phase, Optim(lr=0.1, layer_decay=0.5)).param_groups
    assert [(g["name"], g["lr_scale"], g["lr"], g["weight_decay"]) for g in made] == [
        ("stage4", 0.5, 0.05, 0.02), ("stage4", 0.5, 0.05, 0.0),
        (HEAD, 10.0, 1.0, 0.02), (HEAD, 10.0, 1.0, 0.0),
    ]  # fmt: skip
    optimizer = build_optimizer(model, groups, phase, Optim(lr=0.1, layer_decay=0.5))
    set_lr(optimizer, 0.02)
    assert [g["lr"] for g in optimizer.param_groups] == [0.01, 0.01, 0.2, 0.2]


def factors(count: int, decay: float) -> list[float]:
    return list(layer_factors(tuple(map(str, range(count))), decay).values())


def test_layer_decay_counts_at_most_twelve_groups_of_depth():
    assert factors(3, 0.5) == [0.25, 0.5, 1]
    assert factors(13, 0.75) == [0.75**i for i in range(12, -1, -1)]
    sixty = factors(60, 0.75)
    assert (sixty[0], sixty[-1]) == (pytest.approx(0.75**12), 1)
    assert all(b / a == pytest.approx(0.75 ** (-12 / 59)) for a, b in pairwise(sixty))
    assert factors(1, 0.5) == [1]
    assert factors(60, 1.0) == [1] * 60


@pytest.mark.parametrize(
    ("shape", "total", "warmup", "expected"),
    [
        ("constant", 4, 0, [1, 1, 1, 1]),
        ("constant", 4, 1, [1 / 2, 1, 1, 1]),
        ("linear", 4, 0, [1, 3 / 4, 1 / 2, 1 / 4]),
        ("linear", 6, 2, [1 / 3, 2 / 3, 1, 3 / 4, 1 / 2, 1 / 4]),
        ("linear", 4, 99, [1 / 3, 2 / 3, 1, 1 / 2]),  # warm-up takes at most half
        ("cosine", 4, 0, [1, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125)]),
        ("cosine", 3, 1, [1 / 2, 1, 1 / 2]),
        ("cosine", 1, 1, [1]),
    ],
)
def test_lr_factor(shape, total, warmup, expected):
    assert [lr_factor(step, total, warmup, shape) for step in range(total)] == pytest.approx(expected)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.conv(x)).mean((2, 3)))


GROUPS = {
    "stem": ("conv.weight", "conv.bias", "norm.weight", "norm.bias"),
    HEAD: ("head.weight", "head.bias"),
}


def step(model: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
    set_lr(optimizer, 0.01 * lr_factor(number, 20, 2, "cosine"))
    model(images(4, 8, seed=number)).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


OPTIMISERS = {
    "sgd": {}, "momentum": {"momentum": 0.8}, "adamw": {"betas": (0.8, 0.99)}, "adam": {"amsgrad": True}, "radam": {},
    "nadamw": {}, "lion": {}, "adan": {}, "adopt": {}, "muon": {}, "rmsprop": {}, "lars": {},
    "lamb": {},  # counts steps by a tensor among its settings
    "adafactorbv": {},  # keeps half-precision momentum
    "lookahead_adamw": {}, "lookahead_sgd": {},
}  # fmt: skip


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels-last"])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_state_survives_a_checkpoint_bit_for_bit(tmp_path: Path, name, layout):
    optim = Optim(name=name, lr=0.01, options=OPTIMISERS[name])
    torch.manual_seed(0)
    model = Small().to(memory_format=layout)
    phase = Phase(1, ("stem", HEAD))
    optimizer = build_optimizer(model, GROUPS, phase, optim)
    for number in range(7):
        step(model, optimizer, number)
    arrays, rest = pack_state(optimizer)
    path = checkpoint.save(tmp_path, 7, {"model": model.state_dict(), "optim": arrays}, {"optim": rest})
    tensors, state = checkpoint.load(path)

    torch.manual_seed(1)
    other = Small().to(memory_format=layout)
    other.load_state_dict(tensors["model"])
    resumed = build_optimizer(other, GROUPS, phase, optim)
    unpack_state(resumed, tensors["optim"], state["optim"])
    for number in range(7, 14):
        step(model, optimizer, number)
        step(other, resumed, number)
    assert all(torch.isfinite(v).all() for v in model.state_dict().values())
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in model.state_dict().items())


def test_the_state_matters_to_that_test():
    """Without it, the same steps end elsewhere."""
    torch.manual_seed(0)
    model, optim, phase = Small(), Optim(lr=0.01), Phase(1, ("stem", HEAD))
    optimizer = build_optimizer(model, GROUPS, phase, optim)
    step(model, optimizer, 0)
    other = Small()
    other.load_state_dict(model.state_dict())
    step(other, build_optimizer(other, GROUPS, phase, optim), 1)
    step(model, optimizer, 1)
    assert not torch.equal(model.conv.weight, other.conv.weight)


def test_before_the_first_step_there_is_a_state_too():
    optimizer = build_optimizer(Small(), GROUPS, Phase(1, (HEAD,)), Optim())
    arrays, rest = pack_state(optimizer)
    assert arrays == {}
    unpack_state(optimizer, arrays, json.loads(json.dumps(rest)))


def test_only_the_phases_parameters_are_the_optimisers():
    model = Small()
    phase = Phase(1, (HEAD,))
    freeze(model, GROUPS, phase)
    held = {id(p) for g in build_optimizer(model, GROUPS, phase, Optim()).param_groups for p in g["params"]}
    assert held == {id(p) for p in model.head.parameters()}


@pytest.mark.parametrize(
    ("optim", "error", "message"),
    [
        ({"name": "adamv"}, UnknownName, "unknown optimizer 'adamv'. Did you mean 'adam'? "
            "See them all: zoo list optimizers"),
        ({"name": "lookahead_lam"}, UnknownName, "unknown optimizer 'timm:lam'. Did you mean 'lamb'? "
            "See them all: zoo list optimizers"),
        ({"options": {"legs": 4}}, UsageError, "optim: optimiser 'adamw' refuses its options: "
            "AdamW.__init__() got an unexpected keyword argument 'legs'"),
        ({"options": {"betas": [2, 0.9]}}, UsageError,
            "optim: optimiser 'adamw' refuses its options: Invalid beta parameter at index 0: 2"),
        ({"name": "sgd", "options": {"momentum": -1}}, UsageError,
            "optim: optimiser 'sgd' refuses its options: Invalid momentum value: -1"),
        ({"name": "adahessian"}, UsageError,
            "optim.name: 'adahessian' needs second derivatives, which are not computed. Try adamw"),
    ],
)  # fmt: skip
def test_what_cannot_be_built(optim, error, message):
    with pytest.raises(error) as caught:
        build_optimizer(Small(), GROUPS, Phase(1, (HEAD,)), Optim(**optim))
    assert str(caught.value) == message
