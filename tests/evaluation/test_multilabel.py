"""Scalars of several labels per image, held against scikit-learn; unknown targets count nowhere."""

import math

import numpy as np
import pytest
import sklearn.metrics
import torch
from torch.nn import functional as F

from zoo.evaluation import ranking
from zoo.evaluation.metrics import compute
from zoo.evaluation.multilabel import MultilabelScores

UNKNOWN = math.nan


def scalars(scored: MultilabelScores) -> dict[str, float | None]:
    return compute("multilabel", scored)


def case(seed: int, unknown: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and targets of 4 to 9 labels, some of them without a positive, some logits tied."""
    generator = torch.Generator().manual_seed(seed)
    labels, images = 4 + seed % 6, 12 + seed
    logits = torch.randn(images, labels, generator=generator)
    logits = logits.mul(2).round() if seed % 3 == 0 else logits
    targets = (torch.rand(images, labels, generator=generator) < torch.linspace(0.6, 0.0, labels)).float()
    if unknown:
        targets[torch.rand(images, labels, generator=generator) < 0.3] = UNKNOWN
    return logits, targets


@pytest.mark.parametrize("seed", range(50))
def test_summary_is_scikit_learns(seed):
    logits, targets = case(seed)
    true, given = targets.numpy().astype(int), (logits >= 0).numpy().astype(int)
    present = true.any(0).nonzero()[0]
    two_sided = [k for k in present if not true[:, k].all()]
    score = sklearn.metrics.f1_score
    f1_of_images = [score(t, g, zero_division=1.0) for t, g in zip(true, given, strict=True)]
    scores = logits.numpy()
    assert scalars(MultilabelScores(logits, targets)) == pytest.approx(
        {
            "map": np.mean([sklearn.metrics.average_precision_score(true[:, k], scores[:, k]) for k in present]),
            "macro_f1": score(true, given, labels=present, average="macro", zero_division=0),
            "micro_f1": score(true, given, average="micro"),
            "samples_f1": np.mean(f1_of_images),
            "auroc": np.mean([sklearn.metrics.roc_auc_score(true[:, k], scores[:, k]) for k in two_sided]),
            "log_loss": float(F.binary_cross_entropy_with_logits(logits, targets)),
            "loss": None,
        },
        abs=1.5e-6,
    )


@pytest.mark.parametrize("seed", range(10))
def test_each_label_counts_only_the_images_where_it_is_known(seed):
    logits, targets = case(seed, unknown=True)
    precision, area = ranking.average_precision(logits, targets), ranking.auroc(logits, targets)
    for k in range(logits.shape[1]):
        known = ~targets[:, k].isnan()
        alone = logits[known, k : k + 1], targets[known, k : k + 1]
        torch.testing.assert_close(precision[k], ranking.average_precision(*alone)[0], equal_nan=True)
        torch.testing.assert_close(area[k], ranking.auroc(*alone)[0], equal_nan=True)


def test_unknown_targets_change_no_scalar():
    logits, targets = case(3)
    wider = (
        torch.cat([logits, torch.randn(5, logits.shape[1])]),
        torch.cat([targets, torch.full((5, logits.shape[1]), UNKNOWN)]),
    )

    def loss(logits, targets):
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")

    assert scalars(MultilabelScores(*wider, loss)) == scalars(MultilabelScores(logits, targets, loss))


def test_labels_without_positives_are_left_out_and_named():
    logits, targets = torch.randn(6, 3), torch.tensor([[1.0, 0, 0], [0, 0, UNKNOWN]]).repeat(3, 1)
    assert MultilabelScores(logits, targets).absent(3) == [1, 2]
    found, alone = scalars(MultilabelScores(logits, targets)), scalars(MultilabelScores(logits[:, :1], targets[:, :1]))
    assert (found["map"], found["macro_f1"], found["auroc"]) == (alone["map"], alone["macro_f1"], alone["auroc"])
    none = scalars(MultilabelScores(logits[:, 1:], targets[:, 1:]))
    assert (none["map"], none["macro_f1"], none["auroc"]) == (None, None, None)


def test_an_image_without_labels_that_is_given_none_is_right():
    logits, targets = torch.tensor([[-1.0, -1], [1, -1]]), torch.zeros(2, 2)
    assert scalars(MultilabelScores(logits, targets))["samples_f1"] == 0.5


def test_thresholds_decide_but_do_not_rank():
    logits, targets = case(1)
    low = scalars(MultilabelScores(logits, targets, thresholds=(0.0,) * logits.shape[1]))
    everything = sklearn.metrics.f1_score(targets.numpy(), np.ones(targets.shape), average="micro")
    assert low["micro_f1"] == pytest.approx(everything, abs=1e-6)
    assert low["map"] == scalars(MultilabelScores(logits, targets))["map"]


def test_the_loss_is_a_mean_over_an_images_known_labels_first():
    losses = torch.tensor([[1.0, 3], [5, 100]])
    targets = torch.tensor([[0.0, 1], [1, UNKNOWN]])
    assert scalars(MultilabelScores(torch.zeros(2, 2), targets, lambda *_: losses))["loss"] == 3.5
    assert scalars(MultilabelScores(torch.zeros(2, 2), targets, lambda *_: losses[:, 0]))["loss"] == 3.0


def test_blocks_of_classes_are_put_together(monkeypatch):
    logits, targets = case(5)
    whole = ranking.auroc(logits, targets), ranking.average_precision(logits, targets)
    monkeypatch.setattr(ranking, "BLOCK", 1)
    assert torch.equal(ranking.auroc(logits, targets).nan_to_num(-1), whole[0].nan_to_num(-1))
    assert torch.equal(ranking.average_precision(logits, targets).nan_to_num(-1), whole[1].nan_to_num(-1))
