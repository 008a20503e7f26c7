"""What a recipe leaves open, closed by trying it on this machine before the run begins."""

from dataclasses import replace
from typing import Any

from zoo.errors import UsageError
from zoo.training.choice import choose
from zoo.training.compiling import pays, trial
from zoo.training.fitting import fit_batch
from zoo.training.parts import Parts
from zoo.training.shardable import check_shardable
from zoo.training.team import Team


def settled(parts: Parts, team: Team) -> tuple[Parts, Team, dict[str, Any]]:
    """Parts and team with nothing left open, and what was measured to close it.

    Precision, memory format, batch size and compiling are found where the recipe says `auto`, once for all processes.
    Raises ZooError.
    """
    data, train = parts.recipe.data, parts.recipe.train
    if team.spreads(train):
        check_shardable(parts, team)
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
    _check_graphs(found["compile"], accumulation)
    recipe = parts.recipe.model_copy(
        update={"data": data.model_copy(update={"batch_size": batch}), "train": train.model_copy(update=found)}
    )
    normalise = replace(parts.normalise, channels_last=way.channels_last)
    return replace(parts, recipe=recipe, normalise=normalise), team.computing_in(way.precision), measured


def _check_graphs(compiled: bool | str, accumulation: int) -> None:
    """Raises UsageError for CUDA graphs where gradients accumulate, which each replay overwrites."""
    if compiled == "reduce-overhead" and accumulation > 1:
        raise UsageError(
            f"train.compile: reduce-overhead overwrites gradients that accumulate (train.accumulation is {accumulation}). "
            "Pass train.compile=true, or train.accumulation=1 with a number as data.batch_size"
        )
