"""A split's predictions as the documents that runs keep: scalars, per class, confusion."""

import json
import math

import pytest
import torch

from zoo.evaluation import evaluation
from zoo.evaluation.evaluation import Evaluation
from zoo.evaluation.inference import Predictions
from zoo.tasks.rule import Rule
from zoo.tasks.task import find_task

LOGITS = torch.tensor(
    [[3.0, 1, 0], [2, 1, 0], [0, 1, 0.5], [1, 0, 2], [0, 3, 1], [1, 2, 0]],
)  # predicted 0 0 1 2 1 1
LABELS = torch.tensor([0, 0, 0, 2, 1, 2])
SEVERAL = torch.tensor([[1.0, 0, 0], [1, 1, 0], [0, math.nan, 0], [0, 1, 0], [1, 1, math.nan], [0, 0, 0]])


def of(targets: torch.Tensor, task: str = "multiclass", **more) -> Evaluation:
    return Evaluation(Predictions(LOGITS, targets, torch.arange(6)), find_task(task), ("a", "b", "c"), **more)


def test_metrics_that_sort_many_scores_are_for_the_end_unless_one_chooses(monkeypatch):
    found = of(LABELS)
    assert found.epoch_summary("accuracy") == found.summary()
    monkeypatch.setattr(evaluation, "MANY_SCORES", LOGITS.numel() - 1)
    assert found.summary().keys() - found.epoch_summary("accuracy").keys() == {"auroc"}
    assert found.epoch_summary("auroc") == found.summary()


def test_the_document():
    assert of(LABELS).document() == {
        **of(LABELS).summary(),
        "images": 6,
        "absent_classes": [],
        "per_class": {
            "a": {"precision": 1.0, "recall": 0.666667, "f1": 0.8, "images": 3},
            "b": {"precision": 0.333333, "recall": 1.0, "f1": 0.5, "images": 1},
            "c": {"precision": 1.0, "recall": 0.5, "f1": 0.666667, "images": 2},
        },
        "confusion_matrix": [[2, 1, 0], [0, 1, 0], [0, 1, 1]],
    }


def test_a_class_without_images_is_named():
    found = of(LABELS.clamp(max=1)).document()
    assert found["per_class"]["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "images": 0}
    assert found["confusion_matrix"][2] == [0, 0, 0]
    assert found["absent_classes"] == ["c"]


def test_the_document_of_several_labels():
    found = of(SEVERAL, "multilabel", rule=Rule(thresholds=(0.6, 0.6, 0.6))).document()
    assert "confusion_matrix" not in found and found["absent_classes"] == ["c"]
    assert found["per_class"]["a"] == {  # given to 0, 1, 3 and 5, of which 0 and 1 have it, as 4 has
        "precision": 0.5, "recall": 0.666667, "f1": 0.571429, "images": 3,
        "average_precision": pytest.approx((1 + 1 + 3 / 6) / 3, abs=1e-6), "auroc": pytest.approx(6.5 / 9, abs=1e-6),
    }  # fmt: skip
    assert found["per_class"]["c"] == {
        "precision": 0.0, "recall": 0.0, "f1": 0.0, "images": 0, "average_precision": None, "auroc": None,
    }  # fmt: skip
    assert "NaN" not in json.dumps(found)
    assert found["macro_f1"] == pytest.approx((found["per_class"]["a"]["f1"] + found["per_class"]["b"]["f1"]) / 2)


def test_thresholds_change_what_is_given():
    assert of(SEVERAL, "multilabel").summary() != of(SEVERAL, "multilabel", rule=Rule(thresholds=(0.9,) * 3)).summary()


def test_the_rule_is_what_is_evaluated():
    prior = (0.9, 0.05, 0.05)
    plain, ruled = of(LABELS).summary(), of(LABELS, rule=Rule(prior=prior, tau=2.0)).summary()
    by_hand = Evaluation(
        Predictions(LOGITS - 2 * torch.tensor(prior).log(), LABELS, torch.arange(6)), find_task("multiclass"), ()
    )
    assert ruled == pytest.approx(by_hand.summary(), abs=2e-6) and ruled["accuracy"] != plain["accuracy"]
    warm = of(SEVERAL, "multilabel", rule=Rule(temperature=2.0)).summary()
    assert warm["map"] == of(SEVERAL, "multilabel").summary()["map"] and warm["log_loss"] != plain["log_loss"]


def test_the_activation_makes_probabilities_and_the_loss_sees_logits():
    def loss(logits, targets):
        return torch.nn.functional.binary_cross_entropy_with_logits(
            logits, torch.nn.functional.one_hot(targets, 3).float(), reduction="none"
        ).mean(1)

    found = of(LABELS, loss=loss, rule=Rule(activation="sigmoid")).summary()
    shares = LOGITS.sigmoid() / LOGITS.sigmoid().sum(1, keepdim=True)
    assert found["loss"] == pytest.approx(float(loss(LOGITS, LABELS).mean()), abs=1e-6)
    assert found["log_loss"] == pytest.approx(-float(shares[torch.arange(6), LABELS].log().mean()), abs=1e-6)
    assert found["accuracy"] == of(LABELS).summary()["accuracy"]
