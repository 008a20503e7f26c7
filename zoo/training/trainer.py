"""Fit: phases, epochs and steps, with a checkpoint from which each of them goes on bit for bit."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from zoo.contracts import Phase
from zoo.data.loader import TimedIterator, shuffled
from zoo.distributed.fsdp import load_whole, whole_state
from zoo.errors import Interrupted, NonFiniteLoss, RunError
from zoo.evaluation.metrics import better, summary
from zoo.training import checkpoint
from zoo.training.checkpoint_writer import CheckpointWriter, Snapshot
from zoo.training.optim import load_state_arrays, state_arrays
from zoo.training.pending_losses import PendingLosses
from zoo.training.phase_runner import PhaseRunner, TrainingInputs
from zoo.training.plan import steps_per_epoch
from zoo.training.signals import StopFlag
from zoo.training.state import Progress, TrainingResult


class Trainer:
    """`Trainer(...).fit()` trains all phases and returns the best weights. folder: for checkpoints, None to keep none."""

    def __init__(
        self,
        material: TrainingInputs,
        phases: tuple[Phase, ...],
        folder: Path | None,
        stop: StopFlag,
        log: Callable[[dict[str, Any]], None],
    ) -> None:
        self.material, self.phases, self.stop, self.log = material, phases, stop, log
        self.recipe, self.processes, self.reporter = material.recipe, material.processes, material.reporter
        self.saver = CheckpointWriter(folder, material.recipe.train.checkpoint_s, material.processes)
        self.progress = Progress()
        self.best: dict[str, torch.Tensor] = {}
        self.waiting = 0.0  # share of the epoch's time, of the steps that this process took
        self.resumed: tuple[dict, dict] | None = None

    def resume(self, path: Path) -> None:
        """Take over a checkpoint; `fit` goes on from there. Raises RunError if it belongs to another set-up."""
        tensors, state = checkpoint.load(path)
        for key, now in (("processes", self.processes.size), ("precision", self.processes.precision)):
            if state[key] != now:
                raise RunError(
                    f"the run was trained with {key} {state[key]}, not {now}; bit-equal resuming needs the same {key}"
                )
        self.material.model.load_state_dict(tensors["model"])
        self.progress = Progress(**state["progress"])
        if not self.processes.is_main:
            self.progress.loss_sum = self.progress.seen = 0.0
        self.best = tensors.get("best", {})
        self.resumed = (tensors, state)

    def fit(self) -> TrainingResult:
        """Train to the end. Raises Interrupted or NonFiniteLoss; the last checkpoint stays."""
        while self.progress.phase < len(self.phases):
            stage = self._begin(self.phases[self.progress.phase])
            try:
                self._run(stage)
            finally:
                self.reporter.finish()
                stage.restore()
            stage.close()
            ended = self._target_reached()
            self.progress = self.progress.at_phase(len(self.phases) if ended else self.progress.phase + 1)
            self._save(None)
        return TrainingResult(self.best, self.progress)

    def _begin(self, phase: Phase) -> PhaseRunner:
        material, optim = self.material, self.recipe.optim
        per_epoch = steps_per_epoch(len(material.rows), self.recipe)
        progress, warmup = self.progress, round(optim.warmup_epochs * per_epoch)
        cut, start = material.cuts[progress.phase], progress.epochs - progress.epoch
        stage = PhaseRunner(material, phase, cut, per_epoch * phase.epochs, warmup, start, self._heed)
        if self.resumed and self.progress.phase_step:
            tensors, state = self.resumed
            load_state_arrays(stage.optimizer.optimizer, tensors.get("optim", {}), state["optim"])
            if stage.ema:
                load_whole(stage.ema.module, tensors["ema"])
            if self.processes.accelerator.scaler is not None:
                self.processes.accelerator.scaler.load_state_dict(state["scaler"])
        self.resumed = None
        return stage

    def _run(self, stage: PhaseRunner) -> None:
        while self.progress.epoch < stage.phase.epochs:
            self._epoch(stage)
            self._validate(stage)
            self.progress = self.progress.at_epoch()
            if self._target_reached() or self._out_of_patience(stage):
                return
            if self.progress.epoch < stage.phase.epochs:
                self._pause(stage)

    def _epoch(self, stage: PhaseRunner) -> None:
        """Train through the rest of an epoch, from the batch where it stands."""
        progress, recipe = self.progress, self.recipe
        seed, accumulation = recipe.train.seed, recipe.train.accumulation
        order = shuffled(self.material.rows, recipe.data.batch_size, seed, progress.epochs)
        images = sum(map(len, order))
        self.reporter.start(
            f"epoch {progress.epochs + 1}/{recipe.train.epochs}", images, sum(map(len, order[: progress.batch]))
        )
        stage.train_mode()
        batches = TimedIterator(stage.train.batches(order[progress.batch :], progress.epochs))
        before, unread = progress.seconds, PendingLosses(self.processes.device)
        start, loss, count = time.perf_counter(), torch.zeros(()), 0
        for number, batch in enumerate(batches, progress.batch):
            first = number - number % accumulation
            window = order[first : first + accumulation]
            total, last = sum(map(len, window)), number == first + len(window) - 1
            if number == first:
                stage.seed(progress.step)
                loss, count = torch.zeros((), device=self.processes.device), 0
            loss += stage.backward(batch, total, last, progress.epochs, number)
            count += batch.count
            if not last:
                continue
            unread.add(loss, count, total)
            if unread.due or number + 1 == len(order):
                self._read(unread)
            stage.update(progress.phase_step)
            progress.step, progress.phase_step, progress.batch = progress.step + 1, progress.phase_step + 1, number + 1
            if unread:
                continue
            progress.seconds += time.perf_counter() - start
            if progress.batch < len(order):
                self._pause(stage)
            start = time.perf_counter()
        # While the host waited for the device, the device did not wait for data.
        starved = max(0.0, batches.seconds - unread.waited)
        self.waiting = min(1.0, starved / max(progress.seconds - before, 1e-9))
        self.reporter.finish()

    def _read(self, unread: PendingLosses) -> None:
        """Take up the losses of the latest steps. Raises NonFiniteLoss on every process if one of them is no number."""
        progress, steps = self.progress, unread.read()
        fault = next((number for number, (loss, *_) in enumerate(steps) if not math.isfinite(loss)), math.inf)
        every = 1 if self.recipe.train.checkpoint_s == 0 else unread.wanted
        first, unread.every = self.processes.all_reduce_max(-fault, every)
        if first > -math.inf:
            self._refuse(steps[int(-first)][0], len(steps) - 1 + int(first))
        for loss, count, images in steps:
            progress.loss_sum, progress.seen = progress.loss_sum + loss, progress.seen + count
            self.reporter.advance(images, loss / max(1, count))

    def _refuse(self, loss: float, ago: int) -> None:
        """End training because of the loss of the step that was `ago` steps before this one."""
        p, optim = self.progress, self.recipe.optim
        batch = p.batch + 1 - ago * self.recipe.train.accumulation
        raise NonFiniteLoss(
            f"the loss became {loss if not math.isfinite(loss) else math.nan} at step {p.step + 1 - ago} "
            f"(phase {p.phase + 1}, epoch {p.epochs + 1}, batch {batch}). Nothing of it is kept. "
            f"Try a smaller optim.lr (now {optim.lr:g}), optim.clip_norm=1.0 or train.precision=fp32"
        )

    def _validate(self, stage: PhaseRunner) -> None:
        """Measure, log, and keep the weights if they are the best so far."""
        progress, metric = self.progress, self.recipe.train.best_by
        labels = torch.from_numpy(stage.validation.labels)
        metrics = summary(stage.logits(), labels)
        loss_sum, seen = self.processes.all_reduce_sum(progress.loss_sum, progress.seen)
        if better(metric, metrics[metric], progress.best) or not self.best:
            progress.best, progress.best_epoch, progress.best_metrics = metrics[metric], progress.epochs + 1, metrics
            progress.waited, self.best = 0, stage.weights(averaged=True)
        else:
            progress.waited += 1
        line = {
            "event": "epoch",
            "epoch": progress.epochs + 1,
            "phase": progress.phase + 1,
            "step": progress.step,
            "train_loss": round(loss_sum / max(seen, 1), 6),
            "validation": metrics,
            "lr": max(group["lr"] for group in stage.optimizer.param_groups),
            "images_per_s": round(seen / max(progress.seconds, 1e-9), 1),
            "seconds": round(progress.seconds, 3),
            "waiting": round(self.waiting, 3),
            "streamed": stage.train.streamed,
            "best": progress.best_epoch == progress.epochs + 1,
        }
        self.log(line)
        self.reporter.epoch(line)

    def _out_of_patience(self, stage: PhaseRunner) -> bool:
        """Whether the phase ends here for want of a better metric; the next one then goes on from the best weights."""
        patience, progress = stage.phase.patience or self.recipe.train.early_stop.patience, self.progress
        if patience is None or progress.waited < patience:
            return False
        load_whole(stage.model, self.best)
        self.reporter.note(
            f"phase {progress.phase + 1} ends after epoch {progress.epochs} with the weights of epoch {progress.best_epoch}: "
            f"no better {self.recipe.train.best_by} since"
        )
        return True

    def _target_reached(self) -> bool:
        target, best = self.recipe.train.early_stop.target, self.progress.best
        return (
            target is not None
            and best is not None
            and (best == target or better(self.recipe.train.best_by, best, target))
        )

    def _pause(self, stage: PhaseRunner) -> None:
        """Between two steps: save when it is time, stop when asked to."""
        stop, due = self.processes.all_reduce_max(float(self.stop.signal), float(self.saver.due))
        if stop or due:
            self._save(stage)
        if stop:
            self._stop(f"after step {self.progress.step}", ", which is saved", int(stop))

    def _heed(self) -> None:
        """Between two batches of features: stop when asked to; what was saved last stays."""
        stop, _ = self.processes.all_reduce_max(float(self.stop.signal), 0.0)
        if stop:
            self._stop("while features of what is frozen were computed", "", int(stop))

    def _stop(self, where: str, saved: str, signal: int) -> None:
        folder = self.saver.folder
        kept = "; nothing is kept" if folder is None else f"{saved}. Go on with: zoo resume {folder.parent}"
        raise Interrupted(f"stopped {where}{kept}", signal)

    def _save(self, stage: PhaseRunner | None) -> None:
        """Write a checkpoint; `stage` is None between phases, where there is no optimiser to keep."""
        if self.saver.folder is None:
            return
        if stage is not None:
            self.processes.broadcast_buffers(stage.module)
        loss_sum, seen = self.processes.all_reduce_sum(self.progress.loss_sum, self.progress.seen)
        self.progress.loss_sum, self.progress.seen = (loss_sum, seen) if self.processes.is_main else (0.0, 0.0)
        self.saver.save(self.progress.step, lambda: self._snapshot(stage))

    def _snapshot(self, stage: PhaseRunner | None) -> Snapshot:
        scaler = self.processes.accelerator.scaler
        state: dict[str, Any] = {
            "progress": asdict(self.progress),
            "processes": self.processes.size,
            "precision": self.processes.precision,
            "scaler": scaler.state_dict() if scaler is not None else None,
            "optim": None,
        }
        tensors: dict[str, dict[str, torch.Tensor]] = {
            "model": whole_state(stage.model if stage else self.material.model, self.processes.is_main),
            "best": self.best,
        }
        if stage is not None:
            tensors["optim"], state["optim"] = state_arrays(stage.optimizer.optimizer, self.processes.is_main)
            if stage.ema:
                tensors["ema"] = whole_state(stage.ema.module, self.processes.is_main)
        return {name: group for name, group in tensors.items() if group}, state
