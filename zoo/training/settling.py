"""What a recipe leaves open, closed by trying it on this machine before the run begins."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from zoo.errors import UsageError, first_line
from zoo.recipe import Recipe
from zoo.training.choice import choose
from zoo.training.compiling import pays, trial
from zoo.training.fitting import fit_batch
from zoo.training.optim import optimizer_over
from zoo.training.parts import Parts
from zoo.training.sharding import spread
from zoo.training.team import Team


def settled(parts: Parts, team: Team) -> tuple[Parts, Team, dict[str, Any]]:
    """Parts and team with nothing left open, and what was measured to close it.

    Precision, memory format, batch size and compiling are found where the recipe says `auto`, once for all processes.
    Raises ZooError.
    """
    data, train = parts.recipe.data, parts.recipe.train
    if team.spreads(train):
        _check_spread(parts.recipe, team.device)
    choice = team.on_main(lambda: choose(parts, team))
    way, measured = choice.way, {"step_ms": choice.record()} if choice.ms else {}
    batch, accumulation = data.batch_size, train.accumulation
    if batch == "auto":
        batch, accumulation = team.on_main(lambda: fit_batch(parts, team, way.precision, way.channels_last))
        measured["batch_size"] = batch
    compile_ms = team.on_main(lambda: trial(parts, team, way, batch))
    if compile_ms:
        measured["compile_ms"] = compile_ms
    found = {
        "precision": way.precision,
        "channels_last": way.channels_last,
        "accumulation": accumulation,
        "compile": pays(compile_ms) if train.compile == "auto" else train.compile,
    }
    recipe = parts.recipe.model_copy(
        update={"data": data.model_copy(update={"batch_size": batch}), "train": train.model_copy(update=found)}
    )
    normalise = replace(parts.normalise, channels_last=way.channels_last)
    return replace(parts, recipe=recipe, normalise=normalise), team.computing_in(way.precision), measured


def _check_spread(recipe: Recipe, device: torch.device) -> None:
    """Raises UsageError for what cannot be had of weights that are spread over the processes, which all ask at once."""
    if recipe.train.compiles:
        raise UsageError(
            "train.compile: a model that is spread (train.shard) is not compiled. Pass train.compile=false"
        )
    if recipe.data.batch_size == "auto":
        raise UsageError(
            "data.batch_size: auto tries the whole model, not one that is spread (train.shard). "
            "Pass a number, as data.batch_size=64"
        )
    layer = spread(nn.Conv2d(2, 2, 1), [], device)
    optimizer = optimizer_over([{"params": list(layer.parameters()), "lr_scale": 1.0}], recipe.optim)
    layer(torch.ones(2, 2, 1, 1, device=device)).sum().backward()
    try:
        optimizer.step()
    except (RuntimeError, NotImplementedError) as error:
        raise UsageError(
            f"optim.name: '{recipe.optim.name}' cannot step weights that are spread (train.shard): {first_line(error)}. "
            "Try adamw"
        ) from error
