"""The function of each metric, and its value as JSON has it.

To add a metric: a row in `zoo/tasks/metrics_table.py` and a function in `multiclass.py` or `multilabel.py`.
"""

import math
from collections.abc import Callable, Collection
from typing import Any

from torch import Tensor

from zoo.evaluation import multiclass, multilabel

FUNCTIONS: dict[str, dict[str, Callable[[Any], Tensor | None]]] = {
    "multiclass": multiclass.FUNCTIONS,
    "multilabel": multilabel.FUNCTIONS,
}
"""Task -> metric -> its function of `MulticlassScores` or `MultilabelScores`."""
DEAR = ("map", "auroc")
"""Metrics that sort all scores."""
MANY_SCORES = 10**7
"""Scores (images times classes) above which those are left out of each epoch."""


def compute(task: str, scored: Any, without: Collection[str] = ()) -> dict[str, float | None]:
    """Every metric of a task but those in `without`; None where one is undefined.

    scored: `MulticlassScores` or `MultilabelScores`, as the task's functions read them.
    """
    return {name: number(function(scored)) for name, function in FUNCTIONS[task].items() if name not in without}


def number(value: Tensor | float | None) -> float | None:
    """A value as JSON has it, to 6 decimals; None where it is none, infinite or NaN. value: a scalar."""
    found = math.nan if value is None else float(value)
    return round(found, 6) + 0.0 if math.isfinite(found) else None  # + 0.0: no -0.0
