"""Metrics of a split from logits and targets: the numbers of each epoch, and the full report at the end."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor

from zoo.evaluation import multiclass, multilabel
from zoo.evaluation.multiclass import Multiclass
from zoo.evaluation.multilabel import Multilabel

FUNCTIONS: dict[str, dict[str, Callable[[Any], Tensor | None]]] = {
    "multiclass": multiclass.FUNCTIONS,
    "multilabel": multilabel.FUNCTIONS,
}
"""Task -> metric -> its function of `Multiclass` or `Multilabel`."""
DEAR = ("map", "auroc")
"""Metrics that sort all scores."""
MANY_SCORES = 10**7
"""Scores (images times classes) above which those are left out of each epoch."""


def epoch_metrics(scored: Multiclass | Multilabel, best_by: str) -> dict[str, float | None]:
    """The metrics of one epoch's validation; those that sort many scores only if `best_by` is one of them."""
    dear = set(DEAR) - {best_by} if scored.logits.numel() > MANY_SCORES else set()
    return summary(scored, dear)


def summary(scored: Multiclass | Multilabel, without: Iterable[str] = ()) -> dict[str, float | None]:
    """Every metric of the task but those named; None where it is undefined."""
    functions = FUNCTIONS["multiclass" if isinstance(scored, Multiclass) else "multilabel"]
    return {name: number(function(scored)) for name, function in functions.items() if name not in set(without)}


def report(scored: Multiclass, classes: Sequence[str]) -> dict[str, Any]:
    """The whole `metrics.json` of a split: scalars, per class, and the confusion matrix (rows are true classes)."""
    from sklearn.metrics import (
        confusion_matrix,
        precision_recall_fscore_support,
    )  # takes a second, which no step waits for

    true, predicted, labels = scored.targets.numpy(), scored.predicted.numpy(), range(len(classes))
    rows = zip(*precision_recall_fscore_support(true, predicted, labels=labels, zero_division=0), strict=True)
    return {
        **summary(scored),
        "images": len(true),
        "absent_classes": [classes[k] for k in multiclass.absent(scored.targets, len(classes))],
        "per_class": {
            name: {"precision": number(precision), "recall": number(recall), "f1": number(f1), "images": int(images)}
            for name, (precision, recall, f1, images) in zip(classes, rows, strict=True)
        },
        "confusion_matrix": confusion_matrix(true, predicted, labels=labels).tolist(),
    }


def number(value: Tensor | float | None) -> float | None:
    """A value as JSON has it, to 6 decimals; None where it is none, infinite or NaN."""
    found = math.nan if value is None else float(value)
    return round(found, 6) + 0.0 if math.isfinite(found) else None  # + 0.0: no -0.0
