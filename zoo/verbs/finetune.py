"""Fine-tune: recipe -> data, model, plan -> training -> run folder."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo.config.environment import environment
from zoo.config.loading import dump_recipe, load_recipe, read_stored_recipe
from zoo.config.recipe import AUTO, Recipe
from zoo.config.source_ref import SourceRef
from zoo.data.loader import ImageLoader
from zoo.distributed.processes import Processes, broadcast_value
from zoo.errors import DataError, DiskFull, Interrupted, RunError
from zoo.evaluation.evaluation import Evaluation
from zoo.evaluation.inference import predict
from zoo.models.saved import save_model
from zoo.publishing.card import model_card
from zoo.reporting import Reporter
from zoo.storage.atomic import write_text
from zoo.storage.feature_cache import budget
from zoo.storage.run_folder import Run, default_folder
from zoo.tasks.losses import initial_rule, loss_without_smoothing
from zoo.training import checkpoint
from zoo.training.failures import translate_compile_errors, translate_lost_process, translate_memory_errors
from zoo.training.feature_plan import FrozenSplits, plan_splits, split_names
from zoo.training.inputs import decode_split, prepare
from zoo.training.setup import Setup, build, describe, place
from zoo.training.signals import StopFlag
from zoo.training.trainer import Trainer
from zoo.tuning import compile
from zoo.tuning.auto import resolve_auto_settings
from zoo.tuning.benchmark import ComputeFormat
from zoo.tuning.precision import describe_speedup


def finetune(
    recipe: str | Recipe, overrides: Iterable[str] = (), out: str | Path | None = None, reporter: Reporter | None = None
) -> dict[str, Any]:
    """Train a recipe (a name, a YAML path or a Recipe) into the run folder `out` and return its test metrics.

    overrides: `key=value` strings as on the command line. Raises ZooError; a stopped run can be resumed.
    """
    budget()  # a wrong one is found before there is a folder
    loaded = _anchored(recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides))
    reporter = reporter or Reporter()
    with StopFlag() as stop, translate_memory_errors(loaded):
        run = Run(broadcast_value(str(out or default_folder(recipe if isinstance(recipe, str) else "recipe"))))
        processes = Processes(loaded.train.precision, run.folder)
        with ExitStack() as held:
            held.enter_context(translate_lost_process(run, processes))
            processes.run_on_main(run.check_new)
            setup, processes, measured = resolve_auto_settings(build(loaded), processes)
            processes.run_on_main(lambda: _claim(run, processes, setup, measured, held))
            with (
                _given_up(run, processes),
                translate_memory_errors(setup.recipe),
                translate_compile_errors(),
                _trackers(processes),
            ):
                return _train(run, setup, processes, stop, reporter, measured, resuming=False)


def _anchored(recipe: Recipe) -> Recipe:
    """The recipe with local data named absolutely, so that the run can be resumed from anywhere."""
    source = SourceRef.parse(recipe.data.source).absolute()
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"source": source})})


def resume(folder: str | Path, reporter: Reporter | None = None) -> dict[str, Any]:
    """Go on with an interrupted run from its newest whole checkpoint and return its test metrics. Raises ZooError."""
    run, reporter = Run(folder), reporter or Reporter()
    run.check_started()
    if run.finished:
        raise RunError(f"{run.folder} is finished; see its result: zoo evaluate {run.folder}")
    recipe = read_stored_recipe(run.recipe)
    if recipe.task == AUTO:  # a run of an earlier version, which had one task
        recipe = recipe.model_copy(update={"task": "multiclass"})
    with StopFlag() as stop, translate_memory_errors(recipe), ExitStack() as held:
        processes = Processes(recipe.train.precision, run.folder)
        held.enter_context(translate_lost_process(run, processes))
        processes.run_on_main(lambda: held.enter_context(run.locked()))
        setup = build(recipe)
        facts = json.loads(run.environment.read_text(encoding="utf-8"))
        recorded = facts["data"]["fingerprint"]
        if recorded != setup.data.fingerprint:
            raise RunError(
                f"the data of {run.folder} changed since it started (fingerprint {setup.data.fingerprint}, was {recorded}); start a new run"
            )
        with translate_compile_errors(), _trackers(processes):
            return _train(run, setup, processes, stop, reporter, facts.get("measured", {}), resuming=True)


def plan(recipe: Recipe, reporter: Reporter) -> dict[str, Any]:
    """What `finetune` would do: phases, sizes, memory and time. Writes nothing. Raises ZooError."""
    with translate_memory_errors(recipe):
        setup, processes, measured = resolve_auto_settings(build(recipe), Processes(recipe.train.precision))
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


def _claim(run: Run, processes: Processes, setup: Setup, measured: dict[str, Any], held: ExitStack) -> None:
    """Take the run folder and write what the run is; from here on it can be resumed."""
    held.enter_context(run.locked())
    run.check_new()
    facts = environment(setup.recipe, processes.size, setup.data.record(), measured)
    write_text(run.environment, json.dumps(facts, indent=2))
    write_text(run.recipe, dump_recipe(setup.recipe))


def _train(
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
    metrics = _test(setup, processes, reporter)
    seconds = time.monotonic() - began
    result = {
        **metrics,
        "split": "test",
        "classes": list(setup.data.classes),
        "seconds": round(seconds, 1),
        "best_epoch": fitted.progress.best_epoch,
        "epochs": fitted.progress.epochs,
        "validation": fitted.progress.best_metrics,
        "run": str(run.folder),
    }
    with _room_to_go_on(run):
        processes.run_on_main(lambda: _publish(run, setup, result))
    processes.barrier()
    return result


@contextmanager
def _room_to_go_on(run: Run) -> Iterator[None]:
    """Adds to a full disk's message how the run goes on."""
    try:
        yield
    except DiskFull as error:
        raise DiskFull(f"{error}, then: zoo resume {run.folder}") from error


def _publish(run: Run, setup: Setup, result: dict[str, Any]) -> None:
    facts = json.loads(run.environment.read_text(encoding="utf-8"))

    def card(config: Mapping[str, Any]) -> str:
        return model_card(config, setup.recipe, result, facts)

    task, rule = setup.data.task.name, initial_rule(setup.recipe.train, setup.data.task)
    classes, transform, normalise = setup.data.classes, setup.transform, setup.normalise
    save_model(run.model, setup.model, setup.recipe, classes, transform, normalise, card, task, rule)
    run.log({"event": "test", **{k: v for k, v in result.items() if isinstance(v, float | int | str)}})
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


def _test(setup: Setup, processes: Processes, reporter: Reporter) -> dict[str, Any]:
    """Metrics of the best weights on the test split."""
    split = setup.data.splits["test"]
    pixels, _ = decode_split(split, setup.transform, setup.recipe, processes, reporter, "test")
    loader = ImageLoader(
        pixels, split.targets, setup.normalise, setup.transform.size, processes.device, processes.shard
    )
    reporter.start("testing", len(split))
    predictions = predict(setup.model, loader, processes, 2 * setup.recipe.data.batch_size, reporter.advance)
    reporter.finish()
    task, train = setup.data.task, setup.recipe.train
    loss, rule = loss_without_smoothing(train, task), initial_rule(train, task)
    return Evaluation(predictions, task, setup.data.classes, loss, rule).document()
