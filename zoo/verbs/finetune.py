"""Fine-tune: recipe -> data, model, plan -> training -> run folder."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from zoo.config.environment import environment
from zoo.config.loading import dump_recipe, load_recipe, read_recipe
from zoo.config.recipe import Recipe
from zoo.config.source_ref import SourceRef
from zoo.data.loader import ImageLoader
from zoo.distributed.processes import Processes, broadcast_value
from zoo.errors import DataError, DiskFull, Interrupted, OutOfMemory, RunError, first_line
from zoo.evaluation.metrics import report
from zoo.models.mode import evaluating
from zoo.models.saved import save_model
from zoo.publishing.card import model_card
from zoo.reporting import Reporter
from zoo.storage.atomic import write_text
from zoo.storage.feature_cache import budget
from zoo.storage.run_folder import Run, default_folder
from zoo.training import checkpoint
from zoo.training.feature_plan import FrozenSplits, cuts, named
from zoo.training.inputs import decoded, prepare
from zoo.training.setup import Setup, build, describe, place
from zoo.training.signals import StopFlag
from zoo.training.trainer import Trainer
from zoo.tuning import compile
from zoo.tuning.auto import resolve_auto_settings
from zoo.tuning.benchmark import ComputeFormat
from zoo.tuning.precision import compared

COMPILERS = ("torch._dynamo", "torch._inductor")
LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "NCCL error: remote process exited")
"""What Gloo and NCCL say of a process that is no more."""
NO_MEMORY = ("can't allocate memory", "could not create a primitive")
"""What torch and oneDNN say on a CPU that has none left."""


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
            parts, processes, measured = resolve_auto_settings(build(loaded), processes)
            processes.run_on_main(lambda: _claim(run, processes, parts, measured, held))
            with (
                _given_up(run, processes),
                translate_memory_errors(parts.recipe),
                translate_compile_errors(),
                _trackers(processes),
            ):
                return _train(run, parts, processes, stop, reporter, measured, resuming=False)


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
    recipe = read_recipe(run.recipe)
    with StopFlag() as stop, translate_memory_errors(recipe), ExitStack() as held:
        processes = Processes(recipe.train.precision, run.folder)
        held.enter_context(translate_lost_process(run, processes))
        processes.run_on_main(lambda: held.enter_context(run.locked()))
        parts = build(recipe)
        facts = json.loads(run.environment.read_text(encoding="utf-8"))
        recorded = facts["data"]["fingerprint"]
        if recorded != parts.data.fingerprint:
            raise RunError(
                f"the data of {run.folder} changed since it started (fingerprint {parts.data.fingerprint}, was {recorded}); start a new run"
            )
        with translate_compile_errors(), _trackers(processes):
            return _train(run, parts, processes, stop, reporter, facts.get("measured", {}), resuming=True)


def plan(recipe: Recipe, reporter: Reporter) -> dict[str, Any]:
    """What `finetune` would do: phases, sizes, memory and time. Writes nothing. Raises ZooError."""
    with translate_memory_errors(recipe):
        parts, processes, measured = resolve_auto_settings(build(recipe), Processes(recipe.train.precision))
        with translate_memory_errors(parts.recipe):
            return _planned(parts, processes, cuts(parts, processes, reporter), measured, reporter)


def _planned(
    parts: Setup, processes: Processes, places: FrozenSplits, measured: dict[str, Any], reporter: Reporter
) -> dict[str, Any]:
    """The plan, told to the reporter together with what was measured for it."""
    train = parts.recipe.train
    settings = {
        "channels_last": train.channels_last,
        "compile": train.compile,
        "accumulation": train.accumulation,
        "measured": measured,
    }
    described = describe(parts, processes, named(places)) | settings
    reporter.plan(described)
    if "step_ms" in measured and (
        line := compared(ComputeFormat(train.precision, train.channels_last), measured["step_ms"])
    ):
        reporter.note(f"precision {line}")
    if line := compile.told(measured):
        reporter.note(line)
    if "batch_size" in measured:
        reporter.note(f"batch size {parts.recipe.data.batch_size} (measured), {train.accumulation} per optimiser step")
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


def _claim(run: Run, processes: Processes, parts: Setup, measured: dict[str, Any], held: ExitStack) -> None:
    """Take the run folder and write what the run is; from here on it can be resumed."""
    held.enter_context(run.locked())
    run.check_new()
    facts = environment(parts.recipe, processes.size, parts.data.record(), measured)
    write_text(run.environment, json.dumps(facts, indent=2))
    write_text(run.recipe, dump_recipe(parts.recipe))


def _train(
    run: Run,
    parts: Setup,
    processes: Processes,
    stop: StopFlag,
    reporter: Reporter,
    measured: dict[str, Any],
    resuming: bool,
) -> dict[str, Any]:
    began = time.monotonic()
    for warning in parts.data.warnings:
        reporter.warn(warning)
    place(parts, processes)
    places = cuts(parts, processes, reporter)
    _planned(parts, processes, places, measured, reporter)
    material = prepare(parts, places, processes, reporter)
    if stop.signal:
        raise Interrupted(f"stopped before the first step. Go on with: zoo resume {run.folder}", stop.signal)
    trainer = Trainer(material, parts.phases, run.checkpoints, stop, _logged(run, processes))
    if resuming:
        _take_up(run, trainer, processes, reporter)
    with _room_to_go_on(run):
        fitted = trainer.fit()
    parts.model.load_state_dict(fitted.weights)
    parts = replace(parts, model=parts.merge())
    metrics = _test(parts, processes, reporter)
    seconds = time.monotonic() - began
    result = {
        **metrics,
        "split": "test",
        "classes": list(parts.data.classes),
        "seconds": round(seconds, 1),
        "best_epoch": fitted.progress.best_epoch,
        "epochs": fitted.progress.epochs,
        "validation": fitted.progress.best_metrics,
        "run": str(run.folder),
    }
    with _room_to_go_on(run):
        processes.run_on_main(lambda: _publish(run, parts, result))
    processes.barrier()
    return result


@contextmanager
def _room_to_go_on(run: Run) -> Iterator[None]:
    """Adds to a full disk's message how the run goes on."""
    try:
        yield
    except DiskFull as error:
        raise DiskFull(f"{error}, then: zoo resume {run.folder}") from error


def _publish(run: Run, parts: Setup, result: dict[str, Any]) -> None:
    facts = json.loads(run.environment.read_text(encoding="utf-8"))

    def card(config: Mapping[str, Any]) -> str:
        return model_card(config, parts.recipe, result, facts)

    save_model(run.model, parts.model, parts.recipe, parts.data.classes, parts.view, parts.normalise, card)
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


def _test(parts: Setup, processes: Processes, reporter: Reporter) -> dict[str, Any]:
    """Metrics of the best weights on the test split."""
    split = parts.data.splits["test"]
    pixels, _ = decoded(split, parts.view, parts.recipe, processes, reporter, "test")
    loader = ImageLoader(pixels, split.labels, parts.normalise, parts.view.size, processes.device, processes.shard)
    reporter.start("testing", len(split))
    with evaluating(parts.model):
        logits = processes.predict_all(
            parts.model, loader, len(split), 2 * parts.recipe.data.batch_size, reporter.advance
        )
    reporter.finish()
    return report(logits, torch.from_numpy(split.labels), parts.data.classes)


@contextmanager
def translate_compile_errors() -> Iterator[None]:
    """What torch.compile cannot do, said in the recipe's terms."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith(COMPILERS):
            raise
        raise RunError(
            f"train.compile: torch.compile failed: {first_line(error)}. Start a new run with train.compile=false"
        ) from error


@contextmanager
def translate_lost_process(run: Run, processes: Processes) -> Iterator[None]:
    """What a process hears of torch when another is gone, in words that help."""
    try:
        yield
    except RuntimeError as error:
        if processes.size == 1 or not any(sign in str(error) for sign in LOST):
            raise
        onward = f"Go on with: zoo resume {run.folder}" if run.recipe.is_file() else "Start it again"
        raise RunError(f"another process of the run is gone. {onward}") from error


@contextmanager
def translate_memory_errors(recipe: Recipe) -> Iterator[None]:
    """Running out of memory, said in the recipe's terms."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        text = str(error)
        if not isinstance(error, torch.OutOfMemoryError | MemoryError) and not any(sign in text for sign in NO_MEMORY):
            raise
        batch = recipe.data.images_per_batch
        size, precision = recipe.data.image_size or "the backbone's own size", recipe.train.precision
        raise OutOfMemory(
            f"out of memory with data.batch_size={batch}, data.image_size={size}, train.precision={precision}. "
            f"Try data.batch_size={max(1, batch // 2)} train.accumulation={2 * recipe.train.accumulation} (the same effective batch), "
            f"a smaller data.image_size or train.precision=bf16"
        ) from error
