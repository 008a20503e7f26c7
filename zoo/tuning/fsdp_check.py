"""Tries before a run whether the recipe's model and optimiser can be sharded over the processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch import nn

from zoo.config.recipe import Optim, Recipe
from zoo.distributed.fsdp import shard, shard_units
from zoo.distributed.processes import Processes
from zoo.errors import UsageError, first_line
from zoo.training.freezing import set_train_mode
from zoo.training.optim import optimizer_over, pack_state, unpack_state
from zoo.training.setup import Setup, make_example
from zoo.tuning.trial_step import preserve_generators

STEPS = 7
"""Steps after which every optimiser has the state that it will ever have; lookahead begins at the sixth."""
SIDES = (32, 48)
"""Sides of a matrix that is large enough to be factored."""


def check_shardable(setup: Setup, processes: Processes) -> None:
    """Refuse what sharded weights cannot do. Collective: call it on every rank. Raises UsageError."""
    _check_settings(setup.recipe)
    with preserve_generators(processes.device):
        with _naming("optim.name", f"'{setup.recipe.optim.name}'", "adamw"):
            _try_optimizer(setup.recipe.optim, processes.device)
        with _naming("model.backbone", f"'{setup.recipe.model.backbone}'", "train.fsdp=false"):
            _try_model(setup, processes)


def _check_settings(recipe: Recipe) -> None:
    if recipe.train.compiles:
        raise UsageError("train.compile: a sharded model (train.fsdp) is not compiled. Pass train.compile=false")
    if recipe.train.channels_last is True:
        raise UsageError(
            "train.channels_last: sharded weights (train.fsdp) are contiguous. Pass train.channels_last=false"
        )
    if recipe.data.batch_size == "auto":
        raise UsageError(
            "data.batch_size: auto tries the whole model, not a sharded one (train.fsdp). "
            "Pass a number, as data.batch_size=64"
        )


@contextmanager
def _naming(key: str, name: str, instead: str) -> Iterator[None]:
    """Turn any failure into a UsageError about the key that caused it."""
    try:
        yield
    except (UsageError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        why = first_line(error) or type(error).__name__
        raise UsageError(
            f"{key}: {name} cannot be sharded over processes (train.fsdp): {why}. Try {instead}"
        ) from error


def _try_optimizer(optim: Optim, device: torch.device) -> None:
    """Steps of a small model, and more after its state was kept and taken up again."""
    model = shard(nn.Sequential(nn.Linear(*SIDES), nn.BatchNorm1d(SIDES[1]), nn.Linear(*SIDES[::-1])), [], device)

    def made() -> torch.optim.Optimizer:
        return optimizer_over([{"params": list(model.parameters()), "lr_scale": 1.0}], optim)

    def step(optimizer: torch.optim.Optimizer) -> None:
        model(torch.randn(4, SIDES[0], device=device)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    optimizer, resumed = made(), made()
    for _ in range(STEPS):
        step(optimizer)
    unpack_state(resumed, *pack_state(optimizer))
    for _ in range(STEPS):
        step(resumed)


def _try_model(setup: Setup, processes: Processes) -> None:
    """A pass through a copy, forward and backward, with everything in train mode."""
    model = setup.model.to(processes.device)
    inputs = make_example(setup, processes)
    units = shard_units(model, inputs[:1])
    copy = shard(deepcopy(model.to("cpu")), units, processes.device)
    set_train_mode(copy, freeze_bn_stats=False)
    copy(inputs).sum().backward()
    model.to(processes.device)
