"""Probe: heads and settings compared on a frozen backbone's features, which are computed once for all of them."""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from zoo.config.loading import load_recipe
from zoo.config.recipe import LAST, Recipe
from zoo.distributed.processes import Processes
from zoo.errors import NonFiniteLoss, UsageError
from zoo.reporting import Reporter
from zoo.tasks import metrics_table
from zoo.training.failures import translate_memory_errors
from zoo.training.feature_plan import plan_splits
from zoo.training.inputs import TrainingInputs, make_learner, prepare
from zoo.training.setup import Setup, build, place
from zoo.training.signals import StopFlag
from zoo.training.trainer import Trainer
from zoo.tuning.auto import resolve_auto_settings

HEADS = ("linear", "mlp", "attention")
RATES = (3e-4, 1e-3, 3e-3)


def probe(
    recipe: str,
    overrides: Iterable[str] = (),
    heads: Sequence[str] = HEADS,
    rates: Sequence[float] = RATES,
    decays: Sequence[float] = (),
    reporter: Reporter | None = None,
) -> list[dict[str, Any]]:
    """Train each head with each learning rate and weight decay on the recipe's frozen backbone; rows, the best first.

    decays: weight decays; the recipe's own unless given. A row has `head`, `lr`, `weight_decay`, the validation metric
    `train.best_by`, `best_epoch` and `seconds`: what `finetune` with schedule=linear-probe and these settings reaches
    after `train.epochs`; or, last of all and with neither metric nor `best_epoch`, `diverged`: what became of the loss.
    Only the feature cache is written. Raises ZooError; NonFiniteLoss where every row diverged.
    """
    reporter, overrides = reporter or Reporter(), [*overrides, "schedule=linear-probe"]
    if isinstance(heads, str):
        raise UsageError(f"heads: expected a list of names, found '{heads}'. Try: [{heads!r}]")
    heads, rates, decays = list(dict.fromkeys(heads)), _numbers("rates", rates), _numbers("decays", decays)
    if not heads or not rates:
        raise UsageError("a probe needs a head and a learning rate. Try: zoo probe RECIPE --head linear --lr 1e-3")
    tried = [load_recipe(recipe, [*overrides, f"model.head.name={head}"]) for head in heads]
    settings = [(rate, decay) for rate, decay in product(rates, decays or [tried[0].optim.weight_decay])]
    for rate, decay in settings:
        load_recipe(recipe, [*overrides, f"optim.lr={rate!r}", f"optim.weight_decay={decay!r}"])
    with StopFlag() as stop, translate_memory_errors(tried[0]):
        rows = []
        for inputs, setup in _prepared(tried, reporter):
            metric = setup.recipe.train.best_by
            if metric == LAST:
                raise UsageError("train.best_by: 'last' is no metric, by which zoo probe sorts. Leave it out")
            rows += _rows(inputs, setup, settings, stop)
    if all("diverged" in row for row in rows):
        raise NonFiniteLoss(rows[-1]["diverged"])
    sign = -1 if metrics_table.metric(metric).higher_is_better else 1
    return sorted(rows, key=lambda row: sign * row.get(metric, math.inf * sign))


def _numbers(name: str, values: Iterable[float]) -> list[float]:
    """The values as Python has them, each once. Raises UsageError."""
    try:
        return list(dict.fromkeys(float(value) for value in values))
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name}: expected a list of numbers, found {values!r}. Try: [1e-3]") from error


class OnlyFeatures(Reporter):
    """Tells another reporter of passes over the images, and nothing of the many small trainings."""

    def __init__(self, reporter: Reporter) -> None:
        self.note, self.warn, self.reporter, self.telling = reporter.note, reporter.warn, reporter, False

    def start(self, task: str, total: int, done: int = 0) -> None:
        self.telling = task == "features"
        if self.telling:
            self.reporter.start(task, total, done)

    def advance(self, images: int, loss: float | None = None) -> None:
        if self.telling:
            self.reporter.advance(images, loss)

    def finish(self) -> None:
        self.reporter.finish()


def _prepared(recipes: list[Recipe], reporter: Reporter) -> Iterator[tuple[TrainingInputs, Setup]]:
    """The material of each recipe; data, decoded images and what was measured are the first one's."""
    setup, processes, _ = resolve_auto_settings(build(recipes[0]), Processes(recipes[0].train.precision))
    shared, inputs = setup.recipe, None
    for number, recipe in enumerate(recipes):
        if number:
            setup = build(recipe.model_copy(update={"data": shared.data, "train": shared.train}), setup.data)
        place(setup, processes)
        splits = plan_splits(setup, processes, reporter)
        if inputs is None:
            inputs = prepare(setup, splits, processes, reporter)
        inputs = replace(
            inputs,
            recipe=setup.recipe,
            model=setup.model,
            groups=setup.groups,
            learner=make_learner(setup, processes.device),
            splits=splits,
        )
        yield inputs, setup


def _rows(
    inputs: TrainingInputs, setup: Setup, settings: list[tuple[float, float]], stop: StopFlag
) -> Iterator[dict[str, Any]]:
    """One row for each setting, each from the same first weights."""
    fresh = {name: tensor.detach().clone() for name, tensor in inputs.model.state_dict().items()}
    for rate, decay in settings:
        inputs.model.load_state_dict(fresh)
        optim = inputs.recipe.optim.model_copy(update={"lr": rate, "weight_decay": decay})
        recipe = inputs.recipe.model_copy(update={"optim": optim})
        began, own = time.monotonic(), replace(inputs, recipe=recipe, reporter=OnlyFeatures(inputs.reporter))
        trainer = Trainer(own, setup.phases, None, stop, lambda line: None)
        yield {
            "head": recipe.model.head.name,
            "lr": rate,
            "weight_decay": decay,
            **_reached(trainer),
            "seconds": round(time.monotonic() - began, 2),
        }


def _reached(trainer: Trainer) -> dict[str, Any]:
    try:
        progress = trainer.fit().progress
    except NonFiniteLoss as error:  # other settings may do
        return {"diverged": str(error)}
    metrics = {key: value for key, value in progress.best_metrics.items() if value is not None}
    return {**metrics, "best_epoch": progress.best_epoch}
