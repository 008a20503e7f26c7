"""Scalars of one class per image, held against scikit-learn."""

import math
import warnings

import numpy as np
import pytest
import sklearn.metrics
import torch

from zoo.evaluation.metrics import compute, number
from zoo.evaluation.multiclass import MulticlassScores

LOGITS = torch.tensor(
    [[3.0, 1, 0], [2, 1, 0], [0, 1, 0.5], [1, 0, 2], [0, 3, 1], [1, 2, 0]],
)  # predicted 0 0 1 2 1 1
LABELS = torch.tensor([0, 0, 0, 2, 1, 2])


def scalars(scored: MulticlassScores) -> dict[str, float | None]:
    return compute("multiclass", scored)


def by_scikit_learn(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float | None]:
    """The same numbers: macro averages over the classes that the split has, areas where there are two sides."""
    true, predicted, classes = labels.numpy(), logits.argmax(1).numpy(), range(logits.shape[1])
    probabilities, present = logits.softmax(1).numpy(), np.unique(true)
    average = {"labels": present, "average": "macro", "zero_division": 0}
    areas = [
        sklearn.metrics.roc_auc_score(true == k, probabilities[:, k]) for k in classes if 0 < (true == k).mean() < 1
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that occur on one side only
        kappa = sklearn.metrics.cohen_kappa_score(true, predicted)
        balanced = sklearn.metrics.balanced_accuracy_score(true, predicted)
        mcc = sklearn.metrics.matthews_corrcoef(true, predicted)
    return {
        "accuracy": sklearn.metrics.accuracy_score(true, predicted),
        "macro_f1": sklearn.metrics.f1_score(true, predicted, **average),
        "macro_precision": sklearn.metrics.precision_score(true, predicted, **average),
        "balanced_accuracy": balanced,
        "mcc": mcc,
        "kappa": None if math.isnan(kappa) else kappa,
        "auroc": np.mean(areas) if areas else None,
        "log_loss": -np.log(logits.double().softmax(1).numpy()[np.arange(len(true)), true]).mean(),
        "loss": None,
    }


def random_case(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels; every fifth with ties, absent classes, one class alone, constant logits."""
    generator = torch.Generator().manual_seed(seed)
    classes, images = 2 + seed % 7, 5 + seed
    logits = torch.randn(images, classes, generator=generator)
    labels = torch.randint(classes, (images,), generator=generator)
    match seed % 5:
        case 1:
            logits = logits.round()
        case 2:
            labels = labels.clamp(max=classes // 2)
        case 3:
            labels = torch.full_like(labels, seed % classes)
        case 4:
            logits = torch.zeros_like(logits)
    return logits, labels


CASES = {f"seed {seed}": random_case(seed) for seed in range(50)} | {
    "by hand": (LOGITS, LABELS),
    "a class that is never true nor predicted": (torch.cat([LOGITS, torch.full((6, 1), -9.0)], 1), LABELS),
    "all right, of one class": (LOGITS[:2], LABELS[:2]),
    "one image": (LOGITS[:1], LABELS[:1]),
    "ties of probabilities": (torch.tensor([[60.0, 0], [70, 0], [0, 80], [90, 0]]), torch.tensor([0, 1, 1, 1])),
}


@pytest.mark.parametrize("case", CASES)
def test_summary_is_scikit_learns(case):
    logits, labels = CASES[case]
    found = scalars(MulticlassScores(logits, labels))
    found.pop("top5")
    assert found == pytest.approx(by_scikit_learn(logits, labels), abs=1.5e-6)


def test_summary_by_hand():
    assert scalars(MulticlassScores(LOGITS, LABELS, lambda logits, labels: labels.float())) == pytest.approx(
        {
            "accuracy": 4 / 6,
            "top5": 1.0,  # there are three classes
            "macro_f1": (2 * 2 / 5 + 2 * 1 / 4 + 2 * 1 / 3) / 3,
            "macro_precision": (1 + 1 / 3 + 1) / 3,
            "balanced_accuracy": (2 / 3 + 1 + 1 / 2) / 3,
            "mcc": (6 * 4 - 11) / math.sqrt((36 - 14) * (36 - 14)),
            "kappa": (4 / 6 - 11 / 36) / (1 - 11 / 36),
            "auroc": (7 / 9 + 1 + 5.5 / 8) / 3,
            "log_loss": float(torch.nn.functional.cross_entropy(LOGITS, LABELS)),
            "loss": 5 / 6,
        },
        abs=1e-6,
    )


@pytest.mark.parametrize("seed", range(10))
def test_top5_is_scikit_learns_without_ties(seed):
    logits = torch.randn(40, 9, generator=torch.Generator().manual_seed(seed))
    expected = sklearn.metrics.top_k_accuracy_score(np.arange(40) % 9, logits.numpy(), k=5)
    assert scalars(MulticlassScores(logits, torch.arange(40) % 9))["top5"] == pytest.approx(expected, abs=1e-6)


def test_top5_favours_no_class_among_ties():
    labels = torch.arange(10)
    assert scalars(MulticlassScores(torch.zeros(10, 10), labels))["top5"] == 0.5
    assert [scalars(MulticlassScores(torch.zeros(1, 10), k[None]))["top5"] for k in labels] == [0.5] * 10


def test_what_is_undefined_is_none():
    nothing = scalars(MulticlassScores(torch.full((2, 2), math.nan), torch.tensor([0, 1])))
    assert (nothing["log_loss"], nothing["auroc"], nothing["loss"], nothing["top5"]) == (None, None, None, 0.0)
    assert [number(x) for x in (math.inf, math.nan, None, -1e-9, 0.12345678)] == [None, None, None, 0.0, 0.123457]
    assert math.copysign(1, number(-1e-9)) == 1
