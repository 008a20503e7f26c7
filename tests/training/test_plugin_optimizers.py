"""Optimisers of plugins, beside timm's."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from zoo.config.recipe import Optim
from zoo.contracts import HEAD, Phase
from zoo.errors import PluginError, UsageError
from zoo.training.optim import build_optimizer, set_lr

GROUPS = {"stem": ("0.weight", "0.bias"), HEAD: ("1.weight", "1.bias")}
PHASE = Phase(1, ("stem", HEAD), {HEAD: 10.0})


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


def plugin(install: Callable, body: str, name: str = "odd") -> None:
    source = f"import torch\ndef make(params, *, lr, weight_decay, momentum: float = 0.5):\n{body}"
    install("zoo-odd", optimizers={name: "zoo_odd:make"}, files={"zoo_odd.py": source})


SGD = "    return torch.optim.SGD(params, lr=lr, weight_decay=weight_decay, momentum=momentum)\n"


def test_a_plugins_optimiser_keeps_the_rates_of_its_groups(install: Callable) -> None:
    plugin(install, SGD)
    made = build_optimizer(small(), GROUPS, PHASE, Optim(name="odd", lr=0.1, options={"momentum": 0.8}))
    assert type(made) is torch.optim.SGD
    assert [(g["name"], g["lr"], g["weight_decay"], g["momentum"]) for g in made.param_groups] == [
        ("stem", 0.1, 0.02, 0.8), ("stem", 0.1, 0.0, 0.8), (HEAD, 1.0, 0.02, 0.8), (HEAD, 1.0, 0.0, 0.8),
    ]  # fmt: skip
    set_lr(made, 0.01)
    assert [g["lr"] for g in made.param_groups] == [0.01, 0.01, 0.1, 0.1]


def test_a_class_is_a_factory(install: Callable) -> None:
    source = "import torch\nclass Odd(torch.optim.SGD): ...\n"
    install("zoo-odd", optimizers={"odd": "zoo_odd:Odd"}, files={"zoo_odd.py": source})
    assert type(build_optimizer(small(), GROUPS, PHASE, Optim(name="odd"))).__name__ == "Odd"


@pytest.mark.parametrize("name", ["timm:adamw", "adamw", "lookahead_adamw", "timm:lookahead_adamw"])
def test_timms_by_its_full_name(name: str) -> None:
    made = build_optimizer(small(), GROUPS, PHASE, Optim(name=name, lr=0.1))
    assert type(made).__name__ == ("Lookahead" if "lookahead" in name else "AdamW")
    assert [g["weight_decay"] for g in made.param_groups] == [0.02, 0.0, 0.02, 0.0]


@pytest.mark.parametrize(
    ("body", "options", "error", "message"),
    [
        ("    return 3\n", {}, PluginError,
            "optimizer 'odd' of zoo-odd 1.0 returned a int, but the contract asks for a torch.optim.Optimizer"),
        ("    1 / 0\n", {}, PluginError,
            "optimizer 'odd' of zoo-odd 1.0 failed with ZeroDivisionError: division by zero"),
        ("    return torch.optim.SGD([p for g in params for p in g['params']], lr=lr)\n", {}, PluginError,
            "optimizer 'odd' of zoo-odd 1.0 changed its parameter groups, but the contract asks to keep them: "
            "each has its own learning rate"),
        (SGD, {"momentum": -1.0}, UsageError,
            "optim: optimiser 'odd' refuses its options: Invalid momentum value: -1.0"),
    ],
)  # fmt: skip
def test_what_breaks_the_contract(install: Callable, body: str, options: dict, error: type, message: str) -> None:
    plugin(install, body)
    with pytest.raises(error) as caught:
        build_optimizer(small(), GROUPS, PHASE, Optim(name="odd", options=options))
    assert str(caught.value) == message


def test_a_name_of_timms_asks_which(install: Callable) -> None:
    plugin(install, SGD, "adamw")
    with pytest.raises(PluginError, match=r"optimizer 'adamw' is registered by zoo-odd 1\.0 and by timm"):
        build_optimizer(small(), GROUPS, PHASE, Optim())
    assert type(build_optimizer(small(), GROUPS, PHASE, Optim(name="zoo-odd:adamw"))) is torch.optim.SGD
    assert type(build_optimizer(small(), GROUPS, PHASE, Optim(name="timm:adamw"))).__name__ == "AdamW"
