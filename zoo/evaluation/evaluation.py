"""What a split's predictions are worth: scalars, per class, confusion; the same for validation, test and `zoo evaluate`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from zoo.evaluation import multiclass, multilabel
from zoo.evaluation.inference import Predictions
from zoo.evaluation.metrics import DEAR, MANY_SCORES, compute, number
from zoo.tasks.losses import Loss
from zoo.tasks.rule import IDENTITY, Rule
from zoo.tasks.task import Task


@dataclass(frozen=True)
class Evaluation:
    """Predictions held against their targets. Logits are kept, everything else is derived from them.

    classes: K names; loss: the loss that is trained, without smoothing, None where it is not known; rule: how logits
    become probabilities and labels.
    """

    predictions: Predictions
    task: Task
    classes: Sequence[str]
    loss: Loss | None = None
    rule: Rule = IDENTITY

    @cached_property
    def scored(self) -> multiclass.MulticlassScores | multilabel.MultilabelScores:
        """Logits and targets as the metrics read them."""
        logits, targets = self.predictions.logits, self.predictions.targets
        several = self.task.name == "multilabel"
        plain = replace(self.rule, thresholds=None) == IDENTITY
        probabilities = None if plain else self.task.probabilities(logits, self.rule)
        if several:
            return multilabel.MultilabelScores(logits, targets, self.loss, probabilities, self.rule.thresholds)
        return multiclass.MulticlassScores(logits, targets, self.loss, probabilities)

    def summary(self) -> dict[str, float | None]:
        """Every metric of the task; None where it is undefined."""
        return compute(self.task.name, self.scored)

    def epoch_summary(self, best_by: str) -> dict[str, float | None]:
        """The metrics of each epoch: of many scores without those that sort them, unless `best_by` is one."""
        many = self.scored.logits.numel() > MANY_SCORES
        return compute(self.task.name, self.scored, set(DEAR) - {best_by} if many else set())

    def per_class(self) -> dict[str, dict[str, float | int | None]]:
        """Class -> precision, recall, F1 and images; of several labels also average precision and AUROC.

        Precision, recall and F1 are 0 where they divide by 0. `images` are those that have the class.
        """
        from sklearn.metrics import (
            precision_recall_fscore_support,  # takes a second, which no step of training waits for
        )

        if self.task.name == "multiclass":
            true, given, labels = self.scored.targets.numpy(), self.scored.predicted.numpy(), range(len(self.classes))
            rows = zip(*precision_recall_fscore_support(true, given, labels=labels, zero_division=0), strict=True)
            return {name: _described(*row) for name, row in zip(self.classes, rows, strict=True)}
        found = {}
        precisions, areas = self.scored.average_precisions, self.scored.areas
        for k, name in enumerate(self.classes):
            known = self.scored.known[:, k]
            true, given = self.scored.positive[known, k].numpy(), self.scored.given[known, k].numpy()
            *row, _ = precision_recall_fscore_support(true, given, average="binary", zero_division=0)
            ranked = {"average_precision": number(precisions[k]), "auroc": number(areas[k])}
            found[name] = _described(*row, true.sum()) | ranked
        return found

    def confusion(self) -> list[list[int]] | None:
        """Images by true class (rows) and given class (columns), K x K; None where an image has several labels."""
        if self.task.name != "multiclass":
            return None
        from sklearn.metrics import confusion_matrix

        true, given = self.scored.targets.numpy(), self.scored.predicted.numpy()
        return confusion_matrix(true, given, labels=range(len(self.classes))).tolist()

    def absent(self) -> list[str]:
        """Names of the classes that no image has; averages over classes leave them out."""
        return [self.classes[k] for k in self.scored.absent(len(self.classes))]

    def document(self) -> dict[str, Any]:
        """The whole `metrics.json` of a split."""
        confusion = self.confusion()
        return {
            **self.summary(),
            "images": len(self.predictions.logits),
            "absent_classes": self.absent(),
            "per_class": self.per_class(),
            **({"confusion_matrix": confusion} if confusion is not None else {}),
        }


def _described(precision: float, recall: float, f1: float, images: int) -> dict[str, float | int | None]:
    return {"precision": number(precision), "recall": number(recall), "f1": number(f1), "images": int(images)}
