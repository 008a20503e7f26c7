"""What a recipe leaves open, closed by trying it on this machine before the run begins."""

from dataclasses import replace
from typing import Any

from zoo.distributed.processes import Processes
from zoo.errors import UsageError
from zoo.training.setup import Setup
from zoo.tuning.batch_size import fit_batch
from zoo.tuning.compile import pays, run_trial
from zoo.tuning.fsdp_check import check_shardable
from zoo.tuning.precision import choose


def resolve_auto_settings(setup: Setup, processes: Processes) -> tuple[Setup, Processes, dict[str, Any]]:
    """The setup and processes with nothing left open, and what was measured to close it.

    Precision, memory format, batch size and compiling are found where the recipe says `auto`, once for all processes.
    Raises ZooError.
    """
    data, train = setup.recipe.data, setup.recipe.train
    if processes.uses_fsdp(train):
        check_shardable(setup, processes)
    choice = processes.run_on_main(lambda: choose(setup, processes))
    compute_format, measured = choice.compute_format, {"step_ms": choice.record()} if choice.ms else {}
    batch, accumulation = data.batch_size, train.accumulation
    if batch == "auto":
        batch, accumulation = processes.run_on_main(
            lambda: fit_batch(setup, processes, compute_format.precision, compute_format.channels_last)
        )
        measured["batch_size"] = batch
    compile_ms = processes.run_on_main(lambda: run_trial(setup, processes, compute_format, batch))
    if compile_ms:
        measured["compile_ms"] = compile_ms
    found = {
        "precision": compute_format.precision,
        "channels_last": compute_format.channels_last,
        "accumulation": accumulation,
        "compile": pays(compile_ms) if train.compile == "auto" else train.compile,
    }
    _check_graphs(found["compile"], accumulation)
    recipe = setup.recipe.model_copy(
        update={"data": data.model_copy(update={"batch_size": batch}), "train": train.model_copy(update=found)}
    )
    normalise = replace(setup.normalise, channels_last=compute_format.channels_last)
    return (
        replace(setup, recipe=recipe, normalise=normalise),
        processes.with_precision(compute_format.precision),
        measured,
    )


def _check_graphs(compiled: bool | str, accumulation: int) -> None:
    """Raises UsageError for CUDA graphs where gradients accumulate, which each replay overwrites."""
    if compiled == "reduce-overhead" and accumulation > 1:
        raise UsageError(
            f"train.compile: reduce-overhead overwrites gradients that accumulate (train.accumulation is {accumulation}). "
            "Pass train.compile=true, or train.accumulation=1 with a number as data.batch_size"
        )
