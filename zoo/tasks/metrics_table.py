"""The metrics by name, one row each: what a recipe may choose by, what tables, cards and plots show, and which way is better.

The functions that compute them are in `zoo.evaluation`; a test holds both together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MULTICLASS, MULTILABEL = ("multiclass",), ("multilabel",)
BOTH = (*MULTICLASS, *MULTILABEL)


@dataclass(frozen=True)
class Metric:
    """One number about a split.

    name: key in `metrics.json` and choice of `train.best_by`; title: for people; higher_is_better: its direction;
    hub_name: the Hub's name for it; headline: whether the line of each epoch shows it; tasks: those it is defined for.
    """

    name: str
    title: str
    higher_is_better: bool
    hub_name: str
    headline: bool
    tasks: tuple[str, ...]


METRICS = (
    Metric("accuracy", "accuracy", True, "accuracy", True, MULTICLASS),
    Metric("map", "mean average precision", True, "mean_average_precision", True, MULTILABEL),
    Metric("top5", "top-5 accuracy", True, "top5", False, MULTICLASS),
    Metric("macro_f1", "macro F1", True, "f1", True, BOTH),
    Metric("micro_f1", "micro F1", True, "f1", False, MULTILABEL),
    Metric("samples_f1", "F1 by image", True, "f1", False, MULTILABEL),
    Metric("macro_precision", "macro precision", True, "precision", False, MULTICLASS),
    Metric("balanced_accuracy", "balanced accuracy (macro recall)", True, "recall", False, MULTICLASS),
    Metric("mcc", "Matthews correlation coefficient", True, "matthews_correlation", False, MULTICLASS),
    Metric("kappa", "Cohen's kappa", True, "cohen_kappa", False, MULTICLASS),
    Metric("auroc", "area under the ROC curve", True, "roc_auc", False, BOTH),
    Metric("log_loss", "log loss", False, "log_loss", False, BOTH),
    Metric("loss", "loss that is trained", False, "loss", True, BOTH),
)
"""In the order in which tables show them; a task's first headline is what it is judged by."""
METRIC_NAMES = tuple(row.name for row in METRICS)
_BY_NAME = {row.name: row for row in METRICS}
FORMER_NAMES = {"macro_recall": "balanced_accuracy"}
"""Names in recipes and `metrics.json` of earlier versions."""


def metric(name: str) -> Metric:
    """The row called `name`. Raises KeyError."""
    return _BY_NAME[name]


def metrics_of(task: str) -> tuple[Metric, ...]:
    """The rows that are defined for a task."""
    return tuple(row for row in METRICS if task in row.tasks)


def measured(values: Mapping[str, Any]) -> list[tuple[Metric, float]]:
    """(metric, value) of every metric that `values` has a number for, in the table's order."""
    values = current(values)
    return [(row, values[row.name]) for row in METRICS if isinstance(values.get(row.name), int | float)]


def current(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with metrics of earlier versions under today's names."""
    return {current_name(name): value for name, value in values.items()}


def current_name(name: Any) -> Any:
    """Today's name of a metric; anything else as it is."""
    return FORMER_NAMES.get(name, name) if isinstance(name, str) else name


def better(name: str, new: float | None, old: float | None) -> bool:
    """Whether `new` is better than `old` by the metric called `name`; None and NaN never are. Raises KeyError."""
    higher = metric(name).higher_is_better
    if new is None or new != new:
        return False
    return old is None or (new > old if higher else new < old)
