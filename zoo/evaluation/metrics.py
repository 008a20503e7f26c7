"""Metrics of a split, computed by torchmetrics on every sample once."""

from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

LARGER_IS_BETTER = {"accuracy", "top5", "macro_f1", "macro_precision", "macro_recall", "auroc"}


@cache
def torchmetrics() -> ModuleType:
    """Its functions for classification, imported when first used: that takes a second, which no first step waits for."""
    from torchmetrics.functional import classification

    return classification


def summary(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float | None]:
    """Scalars of a split: logits float32 (N, K), labels int64 (N,), both on the CPU. None where undefined."""
    tm, classes = torchmetrics(), logits.shape[1]
    probabilities = logits.float().softmax(1)
    arguments = {"num_classes": classes}
    top5 = logits.topk(min(5, classes), 1).indices.eq(labels[:, None]).any(1).float().mean()
    values = {
        "accuracy": tm.multiclass_accuracy(logits, labels, average="micro", **arguments),
        "top5": top5,
        "macro_f1": tm.multiclass_f1_score(logits, labels, average="macro", **arguments),
        "macro_precision": tm.multiclass_precision(logits, labels, average="macro", **arguments),
        "macro_recall": tm.multiclass_recall(logits, labels, average="macro", **arguments),
        "auroc": _auroc(probabilities, labels),
        "loss": F.cross_entropy(logits.float(), labels),
    }
    return {name: _number(value) for name, value in values.items()}


def report(logits: torch.Tensor, labels: torch.Tensor, classes: Sequence[str]) -> dict[str, Any]:
    """The whole `metrics.json` of a split: scalars, per class, and the confusion matrix (rows are true classes)."""
    tm, arguments = torchmetrics(), {"num_classes": len(classes), "average": None}
    precision, recall, f1 = (
        f(logits, labels, **arguments) for f in (tm.multiclass_precision, tm.multiclass_recall, tm.multiclass_f1_score)
    )
    support = torch.bincount(labels, minlength=len(classes))
    return {
        **summary(logits, labels),
        "images": len(labels),
        "per_class": {
            name: {
                "precision": _number(precision[i]),
                "recall": _number(recall[i]),
                "f1": _number(f1[i]),
                "images": int(support[i]),
            }
            for i, name in enumerate(classes)
        },
        "confusion_matrix": tm.multiclass_confusion_matrix(logits, labels, num_classes=len(classes)).tolist(),
    }


def _auroc(probabilities: torch.Tensor, labels: torch.Tensor) -> float | None:
    """Mean one-versus-rest area over the classes that have both positives and negatives."""
    one_hot = F.one_hot(labels, probabilities.shape[1])
    both = (one_hot.any(0) & (one_hot == 0).any(0)).nonzero().flatten().tolist()
    areas = [float(torchmetrics().binary_auroc(probabilities[:, k].contiguous(), one_hot[:, k])) for k in both]
    return float(np.mean(areas)) if areas else None


def _number(value: Any) -> float | None:
    number = float(value) if value is not None else None
    return None if number is None or number != number else round(number, 6)


def better(metric: str, new: float | None, old: float | None) -> bool:
    """Whether `new` beats `old`; undefined never does."""
    if new is None or new != new:
        return False
    return old is None or (new > old if metric in LARGER_IS_BETTER else new < old)
