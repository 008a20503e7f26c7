"""Fine-tune: recipe -> data, model, plan -> training -> run folder."""

import json
import os
import time
from collections.abc import Iterable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import nn

from zoo.card import model_card
from zoo.contracts import Phase
from zoo.data.dataset import ImageData, Split, load_data
from zoo.data.loader import ImageLoader, Normalise
from zoo.data.pixels import MemoryPixels, Pixels, StreamedPixels, View, load_into_memory, unreadable
from zoo.data.random import stream
from zoo.environment import environment
from zoo.errors import DataError, Interrupted, OutOfMemory, RunError, ZooError
from zoo.loading import dump_recipe, load_recipe, read_recipe
from zoo.models.backbone import config, native_size
from zoo.models.classifier import Classifier, build_classifier, evaluating, halves
from zoo.models.folder import save_model
from zoo.models.groups import Groups, parameter_groups
from zoo.recipe import Recipe
from zoo.reporting import Reporter
from zoo.run import Run, default_folder
from zoo.training import checkpoint
from zoo.training.metrics import report
from zoo.training.plan import PhasePlan, is_head_only, lay_out, measure, plan_phases, training_bytes
from zoo.training.signals import StopFlag
from zoo.training.stage import Material
from zoo.training.team import Team, agreed
from zoo.training.trainer import Trainer

MEMORY_SHARE = 0.25
"""Part of the free memory that decoded images, and cached features, may take."""
TIMED_IMAGES = 16


@dataclass(frozen=True)
class Parts:
    """What a recipe became: data, model and plan, before anything is written."""

    recipe: Recipe
    data: ImageData
    model: nn.Module
    groups: Groups
    phases: tuple[Phase, ...]
    view: View
    normalise: Normalise


def finetune(
    recipe: str | Recipe, overrides: Iterable[str] = (), out: str | Path | None = None, reporter: Reporter | None = None
) -> dict[str, Any]:
    """Train a recipe (a name, a YAML path or a Recipe) into the run folder `out` and return its test metrics.

    overrides: `key=value` strings as on the command line. Raises ZooError; a stopped run can be resumed.
    """
    loaded = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides)
    reporter = reporter or Reporter()
    with StopFlag() as stop, _explained_memory(loaded):
        run = Run(agreed(str(out or default_folder(recipe if isinstance(recipe, str) else "recipe"))))
        team = Team(loaded.train.precision, run.folder)
        with ExitStack() as held:
            _on_main(team, run.check_new)
            parts = _build(loaded, team)
            _on_main(team, lambda: _claim(run, team, parts, held))
            return _train(run, parts, team, stop, reporter, resuming=False)


def resume(folder: str | Path, reporter: Reporter | None = None) -> dict[str, Any]:
    """Go on with an interrupted run from its newest whole checkpoint and return its test metrics. Raises ZooError."""
    run, reporter = Run(folder), reporter or Reporter()
    run.check_started()
    if run.finished:
        raise RunError(f"{run.folder} is finished; see its result: zoo evaluate {run.folder}")
    recipe = read_recipe(run.recipe)
    with StopFlag() as stop, _explained_memory(recipe), ExitStack() as held:
        team = Team(recipe.train.precision, run.folder)
        _on_main(team, lambda: held.enter_context(run.locked()))
        parts = _build(recipe, team)
        recorded = json.loads(run.environment.read_text())["data"]["fingerprint"]
        if recorded != parts.data.fingerprint:
            raise RunError(f"the data of {run.folder} changed since it started (fingerprint {parts.data.fingerprint}, was {recorded}); start a new run")
        return _train(run, parts, team, stop, reporter, resuming=True)


def plan(recipe: Recipe, reporter: Reporter) -> dict[str, Any]:
    """What `finetune` would do: phases, sizes, memory and time. Writes nothing. Raises ZooError."""
    with _explained_memory(recipe):
        team = Team(recipe.train.precision)
        parts = _build(recipe, team)
        described = _described(parts, team)
        reporter.plan(described)
        return described


def _build(recipe: Recipe, team: Team) -> Parts:
    data = load_data(recipe.data, recipe.train.seed)
    torch.manual_seed(stream(recipe.train.seed, 1))
    model = build_classifier(recipe.model, len(data.classes), recipe.data.image_size)
    backbone = model.backbone if isinstance(model, Classifier) else model
    size = recipe.data.image_size or native_size(backbone)
    cfg = config(backbone)
    channels = recipe.model.in_chans
    mean, std = (_per_channel(cfg[key], channels) for key in ("mean", "std"))
    groups = parameter_groups(model)
    return Parts(
        recipe, data, model, groups, plan_phases(recipe, groups),
        View(size, recipe.data.crop_pct, channels), Normalise(mean, std, recipe.train.channels_last),
    )


def _per_channel(values: Any, channels: int) -> tuple[float, ...]:
    return tuple(values) if len(values) == channels else (float(np.mean(values)),) * channels


def _claim(run: Run, team: Team, parts: Parts, held: ExitStack) -> None:
    """Take the run folder and write what the run is; from here on it can be resumed."""
    held.enter_context(run.locked())
    run.check_new()
    facts = environment(parts.recipe, team.precision, team.size, parts.data.record())
    checkpoint.write_text(run.environment, json.dumps(facts, indent=2))
    checkpoint.write_text(run.recipe, dump_recipe(parts.recipe))


def _on_main(team: Team, action: Any) -> None:
    """Run `action` on the main process; its failure is every process's failure."""
    failure: ZooError | None = None
    if team.main:
        try:
            action()
        except ZooError as error:
            failure = error
    failure = team.share(failure)
    if failure is not None:
        raise failure


def _train(run: Run, parts: Parts, team: Team, stop: StopFlag, reporter: Reporter, resuming: bool) -> dict[str, Any]:
    began = time.monotonic()
    for warning in parts.data.warnings:
        reporter.warn(warning)
    model = parts.model.to(team.device)
    if parts.recipe.train.channels_last:
        model = model.to(memory_format=torch.channels_last)
    reporter.plan(_described(parts, team))
    material = _material(parts, team, reporter, stop)
    trainer = Trainer(material, parts.phases, run.checkpoints, stop, run.log if team.main else lambda line: None)
    if resuming:
        _take_up(run, trainer, team, reporter)
    with _trackers(team):
        trainer.log = _logged(run, team)
        fitted = trainer.fit()
    parts.model.load_state_dict(fitted.weights)
    metrics = _test(parts, team, material, reporter)
    seconds = time.monotonic() - began
    result = {
        **metrics, "split": "test", "classes": list(parts.data.classes), "seconds": round(seconds, 1),
        "best_epoch": fitted.progress.best_epoch, "epochs": fitted.progress.epochs,
        "validation": fitted.progress.best_metrics, "run": str(run.folder),
    }
    _on_main(team, lambda: _publish(run, parts, result, seconds))
    team.wait()
    return result


def _publish(run: Run, parts: Parts, result: dict[str, Any], seconds: float) -> None:
    native = not isinstance(parts.model, Classifier)
    card = model_card(parts.recipe, parts.data.classes, result, seconds, native)
    save_model(run.model, parts.model, parts.recipe, parts.data.classes, parts.view, parts.normalise, card)
    run.log({"event": "test", **{k: v for k, v in result.items() if isinstance(v, float | int | str)}})
    checkpoint.write_text(run.metrics, json.dumps(result, indent=2))


def _take_up(run: Run, trainer: Trainer, team: Team, reporter: Reporter) -> None:
    path = team.share(str(checkpoint.newest(run.checkpoints, reporter.warn) or "") if team.main else "")
    if path:
        trainer.resume(Path(path))
        reporter.note(f"going on after step {trainer.progress.step} (epoch {trainer.progress.epochs + 1})")
    else:
        reporter.note("no checkpoint yet: starting from the beginning")
    if team.main:
        run.forget_after(trainer.progress.step)


@contextmanager
def _trackers(team: Team):
    team.accelerator.init_trackers("events")
    try:
        yield
    finally:
        team.accelerator.end_training()


def _logged(run: Run, team: Team) -> Any:
    """Each event goes to `metrics.jsonl` and, its numbers, to TensorBoard."""

    def log(line: dict[str, Any]) -> None:
        if team.main:
            run.log(line)
        numbers = {f"validation/{k}": v for k, v in line["validation"].items() if v is not None}
        numbers |= {"train/loss": line["train_loss"], "train/lr": line["lr"], "train/images_per_s": line["images_per_s"]}
        team.accelerator.log(numbers, step=line["step"])

    return log


def _material(parts: Parts, team: Team, reporter: Reporter, stop: StopFlag) -> Material:
    recipe, splits = parts.recipe, parts.data.splits
    how = recipe.data.augment
    wide = View(round(parts.view.size / 0.875), 1.0, parts.view.channels) if how.crop == "resized" else parts.view
    example = _example(parts, team)
    cut = halves(parts.model, example)
    caching = cut is not None and recipe.train.cache_features and any(is_head_only(p) for p in parts.phases)
    if caching and not _features_fit(cut, example, splits):
        reporter.note("features are too large for memory: the backbone runs in every epoch of the frozen phase")
        cut = None
    plain, faults = decoded(splits["train"], parts.view, recipe, team, reporter, "train")
    train = plain
    if wide != parts.view:
        train, faults = decoded(splits["train"], wide, recipe, team, reporter, "train")
    validation, bad = decoded(splits["validation"], parts.view, recipe, team, reporter, "validation")
    if faults:
        reporter.warn(f"skipped {unreadable(list(faults.values()), len(splits['train']))}")
    _refuse(bad, splits["validation"])
    _stop_if_asked(stop)

    def loader(pixels: Pixels, split: Split, augmented: bool = False) -> ImageLoader:
        return ImageLoader(
            pixels, split.labels, parts.normalise, parts.view.size, team.device, team.shard,
            how if augmented else None, recipe.train.seed,
        )

    rows = np.setdiff1d(np.arange(len(splits["train"])), np.fromiter(faults, dtype=np.int64, count=len(faults)))
    return Material(
        recipe, parts.model, parts.groups, cut, len(parts.data.classes), rows, loader(train, splits["train"], True),
        loader(plain, splits["train"]), loader(validation, splits["validation"]), team, reporter,
    )


def _stop_if_asked(stop: StopFlag) -> None:
    if stop.signal:
        raise Interrupted("stopped before the first step", stop.signal)


def decoded(split: Split, view: View, recipe: Recipe, team: Team, reporter: Reporter, name: str) -> tuple[Pixels, dict[int, str]]:
    """The split's pixels, in memory where they fit, and what is wrong with unreadable images. Raises DataError."""
    data = recipe.data
    fits = len(split) * view.nbytes * team.size <= MEMORY_SHARE * psutil.virtual_memory().available
    if data.in_memory is False or (data.in_memory == "auto" and not fits):
        workers = data.workers if data.workers is not None else max(1, (os.cpu_count() or 1) // team.size)
        return StreamedPixels(split.encoded, view, workers), {}
    reporter.start(f"reading {name}", len(split))
    images, faults = load_into_memory(split.encoded, view, reporter.advance)
    reporter.finish()
    if name != "train" or data.corrupt == "error":
        _refuse(faults, split)
    return MemoryPixels(images), faults


def _refuse(faults: dict[int, str], split: Split) -> None:
    if faults:
        raise DataError(unreadable(list(faults.values()), len(split)))


def _example(parts: Parts, team: Team) -> torch.Tensor:
    """A few random inputs of the right shape, for timing and for trying cuts."""
    generator = torch.Generator().manual_seed(0)
    count = min(TIMED_IMAGES, parts.recipe.data.batch_size)
    size = (count, parts.view.channels, parts.view.size, parts.view.size)
    example = torch.randn(size, generator=generator).to(team.device)
    return example.contiguous(memory_format=torch.channels_last) if parts.recipe.train.channels_last else example


def _features_fit(cut: Any, example: torch.Tensor, splits: dict[str, Split]) -> bool:
    with evaluating(cut.model), torch.inference_mode():
        each = cut.features(example[:1]).numel() * 4
    images = len(splits["train"]) + len(splits["validation"])
    return images * each <= MEMORY_SHARE * psutil.virtual_memory().available


def _described(parts: Parts, team: Team) -> dict[str, Any]:
    """The plan as data: what `--dry-run --json` prints and the screen draws."""
    recipe, model = parts.recipe, parts.model.to(team.device)
    example = _example(parts, team)
    images = {name: len(split) for name, split in parts.data.splits.items()}
    cacheable = recipe.train.cache_features and halves(model, example) is not None
    costs = measure(model, example, team.autocast)
    plans = lay_out(model, parts.groups, parts.phases, recipe, images, cacheable, costs, team.size)
    return {
        "backbone": recipe.model.backbone,
        "head": recipe.model.head.name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "groups": {group: len(names) for group, names in parts.groups.items()},
        "schedule": recipe.schedule.name,
        "source": recipe.data.source,
        "classes": len(parts.data.classes),
        "images": images,
        "splits": {name: split.origin for name, split in parts.data.splits.items()},
        "image_size": parts.view.size,
        "batch_size": recipe.data.batch_size,
        "device": str(team.device),
        "processes": team.size,
        "precision": team.precision,
        "memory_bytes": {
            "images": sum(images.values()) * parts.view.nbytes,
            "weights_and_optimiser": training_bytes(model, plans),
        },
        "phases": [_described_phase(plan, recipe) for plan in plans],
        "seconds": round(sum(p.seconds or 0.0 for p in plans) + images["test"] * costs.forward / team.size, 1),
    }


def _described_phase(plan: PhasePlan, recipe: Recipe) -> dict[str, Any]:
    return {
        "epochs": plan.phase.epochs,
        "trains": list(plan.phase.trainable),
        "parameters": plan.trainable,
        "steps": plan.steps,
        "cached_features": plan.cached,
        "seconds": round(plan.seconds or 0.0, 1),
    }


def _test(parts: Parts, team: Team, material: Material, reporter: Reporter) -> dict[str, Any]:
    """Metrics of the best weights on the test split."""
    split = parts.data.splits["test"]
    pixels, _ = decoded(split, parts.view, parts.recipe, team, reporter, "test")
    loader = ImageLoader(pixels, split.labels, parts.normalise, parts.view.size, team.device, team.shard)
    reporter.start("testing", len(split))
    with evaluating(parts.model):
        logits = team.apply(parts.model, loader, len(split), 2 * parts.recipe.data.batch_size, reporter.advance)
    reporter.finish()
    return report(logits, torch.from_numpy(split.labels), parts.data.classes)


@contextmanager
def _explained_memory(recipe: Recipe):
    """Running out of memory, said in the recipe's terms."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        text = str(error)
        if not isinstance(error, torch.OutOfMemoryError | MemoryError) and "can't allocate memory" not in text:
            raise
        half = max(1, recipe.data.batch_size // 2)
        size, precision = recipe.data.image_size or "the backbone's own size", recipe.train.precision
        raise OutOfMemory(
            f"out of memory with data.batch_size={recipe.data.batch_size}, data.image_size={size}, train.precision={precision}. "
            f"Try data.batch_size={half} train.accumulation={2 * recipe.train.accumulation} (the same effective batch), "
            f"a smaller data.image_size or train.precision=bf16"
        ) from error
