"""Train: recipe -> data, model, plan -> training -> run folder. What all kinds of run share, and what each says itself."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zoo.config.environment import environment
from zoo.config.loading import dump_recipe, load_recipe
from zoo.config.recipe import Recipe
from zoo.config.source_ref import SourceRef
from zoo.distributed.processes import Processes, broadcast_value
from zoo.errors import DataError, DiskFull, Interrupted, RunError
from zoo.reporting import Reporter
from zoo.storage.atomic import write_text
from zoo.storage.feature_cache import budget
from zoo.storage.run_folder import Run, default_folder
from zoo.training import checkpoint
from zoo.training.failures import translate_compile_errors, translate_lost_process, translate_memory_errors
from zoo.training.feature_plan import FrozenSplits, plan_splits, split_names
from zoo.training.inputs import prepare
from zoo.training.setup import Setup, describe, place
from zoo.training.signals import StopFlag
from zoo.training.state import Progress
from zoo.training.trainer import Trainer
from zoo.tuning import compile
from zoo.tuning.auto import resolve_auto_settings
from zoo.tuning.benchmark import ComputeFormat
from zoo.tuning.precision import describe_speedup


@dataclass(frozen=True)
class RunKind:
    """What one verb that trains does besides what all do.

    build: makes the parts of a recipe, writes nothing. measure: the metrics of the weights that are kept; called on
    every process. publish: writes the model's folder from (run, setup, result, facts of the environment).
    onward: what to do with a finished run, and the command for it, where `{run}` stands for its folder.
    """

    verb: str
    build: Callable[[Recipe], Setup]
    measure: Callable[[Setup, Progress, Processes, Reporter], dict[str, Any]]
    publish: Callable[[Run, Setup, dict[str, Any], dict[str, Any]], None]
    onward: str


def start(
    kind: RunKind, recipe: str | Recipe, overrides: Iterable[str], out: str | Path | None, reporter: Reporter | None
) -> dict[str, Any]:
    """Train a recipe (a name, a YAML path or a Recipe) into the run folder `out`; the result. Raises ZooError."""
    budget()  # a wrong one is found before there is a folder
    loaded = _anchored(recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides))
    reporter = reporter or Reporter()
    with StopFlag() as stop, translate_memory_errors(loaded):
        run = Run(broadcast_value(str(out or default_folder(recipe if isinstance(recipe, str) else "recipe"))))
        processes = Processes(loaded.train.precision, run.folder)
        with ExitStack() as held:
            held.enter_context(translate_lost_process(run, processes))
            processes.run_on_main(run.check_new)
            setup, processes, measured = resolve_auto_settings(kind.build(loaded), processes)
            processes.run_on_main(lambda: _claim(kind, run, processes, setup, measured, held))
            with (
                _given_up(run, processes),
                translate_memory_errors(setup.recipe),
                translate_compile_errors(),
                _trackers(processes),
            ):
                return _train(kind, run, setup, processes, stop, reporter, measured, resuming=False)


def _anchored(recipe: Recipe) -> Recipe:
    """The recipe with local data named absolutely, so that the run can be resumed from anywhere."""
    source = SourceRef.parse(recipe.data.source).absolute()
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"source": source})})


def go_on(kind: RunKind, run: Run, recipe: Recipe, facts: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """Go on with an interrupted run from its newest whole checkpoint; the result. facts: of its environment. Raises ZooError."""
    with StopFlag() as stop, translate_memory_errors(recipe), ExitStack() as held:
        processes = Processes(recipe.train.precision, run.folder)
        held.enter_context(translate_lost_process(run, processes))
        processes.run_on_main(lambda: held.enter_context(run.locked()))
        setup = kind.build(recipe)
        recorded = facts["data"]["fingerprint"]
        if recorded != setup.data.fingerprint:
            raise RunError(
                f"the data of {run.folder} changed since it started (fingerprint {setup.data.fingerprint}, was {recorded}); start a new run"
            )
        with translate_compile_errors(), _trackers(processes):
            return _train(kind, run, setup, processes, stop, reporter, facts.get("measured", {}), resuming=True)


def plan_run(kind: RunKind, recipe: Recipe, reporter: Reporter) -> dict[str, Any]:
    """What a run would do: phases, sizes, memory and time. Writes nothing. Raises ZooError."""
    with translate_memory_errors(recipe):
        setup, processes, measured = resolve_auto_settings(kind.build(recipe), Processes(recipe.train.precision))
        with translate_memory_errors(setup.recipe):
            return _planned(setup, processes, plan_splits(setup, processes, reporter), measured, reporter)


def _planned(
    setup: Setup, processes: Processes, splits: FrozenSplits, measured: dict[str, Any], reporter: Reporter
) -> dict[str, Any]:
    """The plan, told to the reporter together with what was measured for it."""
    train = setup.recipe.train
    settings = {
        "channels_last": train.channels_last,
        "compile": train.compile,
        "accumulation": train.accumulation,
        "measured": measured,
    }
    described = describe(setup, processes, split_names(splits)) | settings
    reporter.plan(described)
    if "step_ms" in measured and (
        line := describe_speedup(ComputeFormat(train.precision, train.channels_last), measured["step_ms"])
    ):
        reporter.note(f"precision {line}")
    if line := compile.describe_trial(measured):
        reporter.note(line)
    if "batch_size" in measured:
        reporter.note(f"batch size {setup.recipe.data.batch_size} (measured), {train.accumulation} per optimiser step")
    return described


@contextmanager
def _given_up(run: Run, processes: Processes) -> Iterator[None]:
    """Images that cannot be read leave no run without a step, which could only fail again."""
    try:
        yield
    except DataError:
        if processes.is_main:
            run.give_up()
        raise


def _claim(
    kind: RunKind, run: Run, processes: Processes, setup: Setup, measured: dict[str, Any], held: ExitStack
) -> None:
    """Take the run folder and write what the run is; from here on it can be resumed."""
    held.enter_context(run.locked())
    run.check_new()
    facts = environment(setup.recipe, processes.size, setup.data.record(), measured) | {"verb": kind.verb}
    write_text(run.environment, json.dumps(facts, indent=2))
    write_text(run.recipe, dump_recipe(setup.recipe))


def _train(
    kind: RunKind,
    run: Run,
    setup: Setup,
    processes: Processes,
    stop: StopFlag,
    reporter: Reporter,
    measured: dict[str, Any],
    resuming: bool,
) -> dict[str, Any]:
    began = time.monotonic()
    for warning in setup.data.warnings:
        reporter.warn(warning)
    place(setup, processes)
    splits = plan_splits(setup, processes, reporter)
    _planned(setup, processes, splits, measured, reporter)
    inputs = prepare(setup, splits, processes, reporter)
    if stop.signal:
        raise Interrupted(f"stopped before the first step. Go on with: zoo resume {run.folder}", stop.signal)
    trainer = Trainer(inputs, setup.phases, run.checkpoints, stop, _logged(run, processes))
    if resuming:
        _take_up(run, trainer, processes, reporter)
    with _room_to_go_on(run):
        fitted = trainer.fit()
    setup.model.load_state_dict(fitted.weights)
    setup = replace(setup, model=setup.merge())
    metrics = kind.measure(setup, fitted.progress, processes, reporter)
    seconds = time.monotonic() - began
    result = {
        **metrics,
        "seconds": round(seconds, 1),
        "best_epoch": fitted.progress.best_epoch,
        "epochs": fitted.progress.epochs,
        "validation": fitted.progress.best_metrics,
        "run": str(run.folder),
    }
    with _room_to_go_on(run):
        processes.run_on_main(lambda: _publish(kind, run, setup, result))
    processes.barrier()
    return result


@contextmanager
def _room_to_go_on(run: Run) -> Iterator[None]:
    """Adds to a full disk's message how the run goes on."""
    try:
        yield
    except DiskFull as error:
        raise DiskFull(f"{error}, then: zoo resume {run.folder}") from error


def _publish(kind: RunKind, run: Run, setup: Setup, result: dict[str, Any]) -> None:
    kind.publish(run, setup, result, json.loads(run.environment.read_text(encoding="utf-8")))
    run.log({"event": result["split"], **{k: v for k, v in result.items() if isinstance(v, float | int | str)}})
    write_text(run.metrics, json.dumps(result, indent=2))


def _take_up(run: Run, trainer: Trainer, processes: Processes, reporter: Reporter) -> None:
    path = processes.broadcast(
        str(checkpoint.newest(run.checkpoints, reporter.warn) or "") if processes.is_main else ""
    )
    if path:
        trainer.resume(Path(path))
        reporter.note(f"going on after step {trainer.progress.step} (epoch {trainer.progress.epochs + 1})")
    else:
        reporter.note("no checkpoint yet: starting from the beginning")
    if processes.is_main:
        run.forget_after(trainer.progress.step)


@contextmanager
def _trackers(processes: Processes) -> Iterator[None]:
    """TensorBoard's writer and the process group, both Accelerate's, closed whatever happens."""
    processes.accelerator.init_trackers("events")
    try:
        yield
    finally:
        processes.accelerator.end_training()


def _logged(run: Run, processes: Processes) -> Callable[[dict[str, Any]], None]:
    """Each event goes to `metrics.jsonl` and, its numbers, to TensorBoard."""

    def log(line: dict[str, Any]) -> None:
        if processes.is_main:
            run.log(line)
        numbers = {f"validation/{k}": v for k, v in line["validation"].items() if v is not None}
        numbers |= {
            "train/loss": line["train_loss"],
            "train/lr": line["lr"],
            "train/images_per_s": line["images_per_s"],
            "train/waiting": line["waiting"],
        }
        processes.accelerator.log(numbers, step=line["step"])

    return log
