"""Fit: phases, epochs and steps, with a checkpoint from which each of them goes on bit for bit."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo.config.recipe import LAST
from zoo.contracts import At, Phase
from zoo.data.loader import TimedIterator, shuffled
from zoo.distributed.fsdp import load_full_state
from zoo.errors import Interrupted, NonFiniteLoss
from zoo.tasks.metrics_table import better
from zoo.training.checkpointer import Checkpointer
from zoo.training.pending_losses import PendingLosses
from zoo.training.phase_runner import PhaseRunner, TrainingInputs
from zoo.training.plan import steps_per_epoch
from zoo.training.signals import StopFlag
from zoo.training.state import BestWeights, Progress, TrainingResult
from zoo.training.stateful import MustMatch, ScalerState
from zoo.training.validation import choose_validation


class Trainer:
    """`Trainer(...).fit()` trains all phases and returns the best weights. folder: for checkpoints, None to keep none."""

    def __init__(
        self,
        inputs: TrainingInputs,
        phases: tuple[Phase, ...],
        folder: Path | None,
        stop: StopFlag,
        log: Callable[[dict[str, Any]], None],
    ) -> None:
        self.inputs, self.phases, self.stop, self.log = inputs, phases, stop, log
        self.recipe, self.processes, self.reporter = inputs.recipe, inputs.processes, inputs.reporter
        self.progress, self.best = Progress(), BestWeights()
        self.validation = choose_validation(inputs)
        self.per_epoch = steps_per_epoch(len(inputs.rows), self.recipe)
        self.steps = self.per_epoch * sum(phase.epochs for phase in phases)
        self.waiting = 0.0  # share of the epoch's time, of the steps that this process took
        self.checkpointer = Checkpointer(folder, self.recipe.train.checkpoint_s, self.processes)
        self.checkpointer.register("processes", MustMatch("processes", self.processes.size))
        self.checkpointer.register("precision", MustMatch("precision", self.processes.precision))
        self.checkpointer.register("progress", self.progress)
        self.checkpointer.register("best", self.best)
        self.checkpointer.register_model(inputs.model, inputs.learner, self.processes.is_main)
        if (scaler := self.processes.accelerator.scaler) is not None:
            self.checkpointer.register("scaler", ScalerState(scaler))

    def resume(self, path: Path) -> None:
        """Take over a checkpoint; `fit` goes on from there. Raises RunError if it belongs to another set-up."""
        self.checkpointer.resume(path)
        if not self.processes.is_main:
            self.progress.loss_sum = self.progress.seen = 0.0
            self.progress.terms = dict.fromkeys(self.progress.terms, 0.0)

    def fit(self) -> TrainingResult:
        """Train to the end. Raises Interrupted or NonFiniteLoss; the last checkpoint stays."""
        while self.progress.phase < len(self.phases):
            runner = self._begin(self.phases[self.progress.phase])
            try:
                self._run(runner)
            finally:
                self.reporter.finish()
                runner.restore()
            runner.close(self.checkpointer)
            ended = self._target_reached()
            self.progress.begin_phase(len(self.phases) if ended else self.progress.phase + 1)
            self._save(None)
        return TrainingResult(self.best.tensors, self.progress)

    def _begin(self, phase: Phase) -> PhaseRunner:
        inputs, optim = self.inputs, self.recipe.optim
        progress, warmup = self.progress, round(optim.warmup_epochs * self.per_epoch)
        split, start = inputs.splits[progress.phase], progress.epochs - progress.epoch
        runner = PhaseRunner(inputs, phase, split, self.per_epoch * phase.epochs, warmup, start, self._check_interrupt)
        runner.register(self.checkpointer, resumed=progress.phase_step > 0)
        self.checkpointer.end_resuming()
        return runner

    def _run(self, runner: PhaseRunner) -> None:
        while self.progress.epoch < runner.phase.epochs:
            self._epoch(runner)
            self._validate(runner)
            self.progress.begin_epoch()
            if self._target_reached() or self._out_of_patience(runner):
                return
            if self.progress.epoch < runner.phase.epochs:
                self._pause(runner)

    def _epoch(self, runner: PhaseRunner) -> None:
        """Train through the rest of an epoch, from the batch where it stands."""
        progress, recipe = self.progress, self.recipe
        seed, accumulation = recipe.train.seed, recipe.train.accumulation
        order = shuffled(self.inputs.rows, recipe.data.batch_size, seed, progress.epochs)
        images = sum(map(len, order))
        self.reporter.start(
            f"epoch {progress.epochs + 1}/{recipe.train.epochs}", images, sum(map(len, order[: progress.batch]))
        )
        runner.set_train_mode()
        batches = TimedIterator(runner.train.batches(order[progress.batch :], progress.epochs))
        before, pending = progress.seconds, PendingLosses(self.processes.device)
        start, sums, count = time.perf_counter(), {}, 0
        for number, batch in enumerate(batches, progress.batch):
            first = number - number % accumulation
            window = order[first : first + accumulation]
            total, last = sum(map(len, window)), number == first + len(window) - 1
            if number == first:
                runner.seed(progress.step)
                sums, count = {}, 0
            at = self._at(number)
            for name, value in runner.backward(batch, at, total, last).items():
                sums[name] = sums.get(name, 0.0) + value
            count += batch.count
            if not last:
                continue
            pending.add(sums, count, total)
            if pending.should_flush or number + 1 == len(order):
                self._flush(pending)
            runner.update(progress.phase_step, at)
            progress.step, progress.phase_step, progress.batch = progress.step + 1, progress.phase_step + 1, number + 1
            if pending:
                continue
            progress.seconds += time.perf_counter() - start
            if progress.batch < len(order):
                self._pause(runner)
            start = time.perf_counter()
        # While the host waited for the device, the device did not wait for data.
        starved = max(0.0, batches.seconds - pending.blocked)
        self.waiting = min(1.0, starved / max(progress.seconds - before, 1e-9))
        self.reporter.finish()

    def _at(self, batch: int) -> At:
        """Where training stands at a batch of the epoch."""
        return At(self.progress.step, self.steps, self.progress.epochs, batch)

    def _flush(self, pending: PendingLosses) -> None:
        """Take up the losses of the latest steps. Raises NonFiniteLoss on every process if one of them is no number."""
        progress, steps = self.progress, pending.flush()
        losses = [sums["loss"] for sums, *_ in steps]
        fault = next((number for number, loss in enumerate(losses) if not math.isfinite(loss)), math.inf)
        every = 1 if self.recipe.train.checkpoint_s == 0 else pending.next_interval
        first, pending.flush_interval = self.processes.all_reduce_max(-fault, every)
        if first > -math.inf:
            self._refuse(losses[int(-first)], len(steps) - 1 + int(first))
        for sums, count, images in steps:
            progress.add(sums, count)
            self.reporter.advance(images, sums["loss"] / max(1, count))

    def _refuse(self, loss: float, ago: int) -> None:
        """End training because of the loss of the step that was `ago` steps before this one."""
        p, optim = self.progress, self.recipe.optim
        batch = p.batch + 1 - ago * self.recipe.train.accumulation
        raise NonFiniteLoss(
            f"the loss became {loss if not math.isfinite(loss) else math.nan} at step {p.step + 1 - ago} "
            f"(phase {p.phase + 1}, epoch {p.epochs + 1}, batch {batch}). Nothing of it is kept. "
            f"Try a smaller optim.lr (now {optim.lr:g}), optim.clip_norm=1.0 or train.precision=fp32"
        )

    def _validate(self, runner: PhaseRunner) -> None:
        """Measure, log, and keep the weights if they are the best so far."""
        progress, metric = self.progress, self.recipe.train.best_by
        metrics = runner.validate(self.validation, self._at(progress.batch))
        loss_sum, seen, *terms = self.processes.all_reduce_sum(
            progress.loss_sum, progress.seen, *progress.terms.values()
        )
        if metric == LAST or not self.best.tensors or better(metric, metrics[metric], progress.best):
            progress.best, progress.best_epoch, progress.best_metrics = (
                metrics.get(metric),
                progress.epochs + 1,
                metrics,
            )
            progress.waited, self.best.tensors = 0, runner.weights(averaged=True)
        else:
            progress.waited += 1
        line = {
            "event": "epoch",
            "epoch": progress.epochs + 1,
            "phase": progress.phase + 1,
            "step": progress.step,
            "train_loss": round(loss_sum / max(seen, 1), 6),
            **{
                f"train_{name}": round(term / max(seen, 1), 6) for name, term in zip(progress.terms, terms, strict=True)
            },
            "validation": metrics,
            "lr": max(group["lr"] for group in runner.optimizer.param_groups),
            "images_per_s": round(seen / max(progress.seconds, 1e-9), 1),
            "seconds": round(progress.seconds, 3),
            "waiting": round(self.waiting, 3),
            "streamed": runner.train.streamed,
            "best": progress.best_epoch == progress.epochs + 1,
        }
        self.log(line)
        self.reporter.epoch(line)

    def _out_of_patience(self, runner: PhaseRunner) -> bool:
        """Whether the phase ends here for want of a better metric; the next one then goes on from the best weights."""
        patience, progress = runner.phase.patience or self.recipe.train.early_stop.patience, self.progress
        if patience is None or progress.waited < patience:
            return False
        load_full_state(runner.model, self.best.tensors)
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

    def _pause(self, runner: PhaseRunner) -> None:
        """Between two steps: save when it is time, stop when asked to."""
        stop, due = self.processes.all_reduce_max(float(self.stop.signal), float(self.checkpointer.is_due))
        if stop or due:
            self._save(runner)
        if stop:
            self._stop(f"after step {self.progress.step}", ", which is saved", int(stop))

    def _check_interrupt(self) -> None:
        """Between two batches of features: stop when asked to; what was saved last stays."""
        stop, _ = self.processes.all_reduce_max(float(self.stop.signal), 0.0)
        if stop:
            self._stop("while features of what is frozen were computed", "", int(stop))

    def _stop(self, where: str, saved: str, signal: int) -> None:
        folder = self.checkpointer.folder
        kept = "; nothing is kept" if folder is None else f"{saved}. Go on with: zoo resume {folder.parent}"
        raise Interrupted(f"stopped {where}{kept}", signal)

    def _save(self, runner: PhaseRunner | None) -> None:
        """Write a checkpoint. runner: the phase at work, None between phases."""
        if self.checkpointer.folder is None:
            return
        if runner is not None:
            self.processes.broadcast_buffers(runner.learner)
        self._gather_sums()
        self.checkpointer.save(self.progress.step)

    def _gather_sums(self) -> None:
        """Give the main process the sums of all, so that a checkpoint has them once."""
        progress = self.progress
        sums = self.processes.all_reduce_sum(progress.loss_sum, progress.seen, *progress.terms.values())
        progress.loss_sum, progress.seen, *terms = sums if self.processes.is_main else [0.0] * len(sums)
        progress.terms = dict(zip(progress.terms, terms, strict=True))
