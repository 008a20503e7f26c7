"""What is measured after each epoch: the task's metrics where a learner classifies, else its own loss."""

from typing import Protocol

import numpy as np
import torch
from torch import nn

from zoo.contracts import At, Seen
from zoo.data.loader import Loader, in_order
from zoo.distributed.processes import Processes
from zoo.evaluation.evaluation import Evaluation
from zoo.evaluation.inference import Predictions, predict_all
from zoo.models.mode import evaluating
from zoo.tasks.losses import Loss, initial_rule, loss_without_smoothing
from zoo.tasks.rule import Rule
from zoo.tasks.task import Task
from zoo.training.inputs import TrainingInputs

Metrics = dict[str, float | None]


class Validation(Protocol):
    """Measures a learner on the validation split."""

    def __call__(self, learner: nn.Module, loader: Loader, at: At) -> Metrics:
        """Metrics by name. Collective: called on every process."""


class TaskMetrics:
    """The task's metrics of what a learner's `classify` gives for each image."""

    def __init__(self, processes: Processes, batch_size: int, task: Task, loss: Loss, rule: Rule, best_by: str) -> None:
        """loss: the one trained, without smoothing; best_by: the metric that chooses the best epoch."""
        self.processes, self.batch_size, self.best_by = processes, batch_size, best_by
        self.task, self.loss, self.rule = task, loss, rule

    def __call__(self, learner: nn.Module, loader: Loader, at: At) -> Metrics:
        count = len(loader.targets)
        with evaluating(learner):
            logits = predict_all(learner.classify, loader, self.processes, count, self.batch_size)
        predictions = Predictions(logits, torch.from_numpy(loader.targets), torch.arange(count))
        return Evaluation(predictions, self.task, (), self.loss, self.rule).epoch_summary(self.best_by)


class MethodLoss:
    """The mean over the images of what a learner's `forward` gives, `loss` and the other entries."""

    def __init__(self, processes: Processes, batch_size: int) -> None:
        self.processes, self.batch_size = processes, batch_size

    def __call__(self, learner: nn.Module, loader: Loader, at: At) -> Metrics:
        sums: dict[str, float] = {}
        order = in_order(np.arange(len(loader.targets)), self.batch_size)
        with evaluating(learner), torch.inference_mode():
            for number, batch in enumerate(loader.batches(order)):
                seen = Seen(batch.inputs, batch.targets, batch.valid, batch.indices)
                with self.processes.autocast():
                    entries = learner(seen, At(at.step, at.steps, at.epoch, number))
                for name, values in entries.items():
                    sums[name] = sums.get(name, 0.0) + float((values.float() * batch.valid).sum())
        totals = self.processes.all_reduce_sum(*sums.values())
        return {name: total / len(loader.targets) for name, total in zip(sums, totals, strict=True)}


def choose_validation(inputs: TrainingInputs) -> Validation:
    """How a run's learner is measured. Raises UsageError, PluginError."""
    recipe, batch_size = inputs.recipe, 2 * inputs.recipe.data.batch_size
    if not hasattr(inputs.learner, "classify"):
        return MethodLoss(inputs.processes, batch_size)
    loss, rule = loss_without_smoothing(recipe.train, inputs.task), initial_rule(recipe.train, inputs.task)
    return TaskMetrics(inputs.processes, batch_size, inputs.task, loss, rule, recipe.train.best_by)
