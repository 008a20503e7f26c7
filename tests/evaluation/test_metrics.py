import math

import numpy as np
import pytest
import torch

from zoo.evaluation.metrics import better, report, summary

LOGITS = torch.tensor(
    [[3.0, 1, 0], [2, 1, 0], [0, 1, 0.5], [1, 0, 2], [0, 3, 1], [1, 2, 0]],
)  # predicted 0 0 1 2 1 1
LABELS = torch.tensor([0, 0, 0, 2, 1, 2])


def by_definition(logits: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
    """The metrics as scikit-learn defines them: macro over the classes that occur or are predicted."""
    count = logits.shape[1]
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = shifted / shifted.sum(1, keepdims=True)
    predicted = logits.argmax(1)
    rows = []
    for k in sorted({*labels, *predicted}):
        hits, said, true = ((predicted == k) & (labels == k)).sum(), (predicted == k).sum(), (labels == k).sum()
        precision, recall = hits / said if said else 0.0, hits / true if true else 0.0
        rows.append((precision, recall, 2 * hits / (said + true)))
    areas = []
    for k in range(count):
        positive, negative = probabilities[labels == k, k], probabilities[labels != k, k]
        if len(positive) and len(negative):
            gaps = positive[:, None] - negative[None]
            areas.append(((gaps > 0) + 0.5 * (gaps == 0)).mean())
    rank = (-logits).argsort(1, kind="stable")[:, :5]
    precision, recall, f1 = np.mean(rows, 0)
    return {
        "accuracy": (predicted == labels).mean(),
        "top5": (rank == labels[:, None]).any(1).mean(),
        "macro_f1": f1,
        "macro_precision": precision,
        "macro_recall": recall,
        "auroc": np.mean(areas) if areas else None,
        "loss": -np.log(probabilities[np.arange(len(labels)), labels]).mean(),
    }


CASES = {
    "three classes": (LOGITS, LABELS),
    "a class that is never true": (LOGITS, LABELS.clamp(max=1)),
    "a class that is never true nor predicted": (torch.cat([LOGITS, torch.full((6, 1), -9.0)], 1), LABELS),
    "two classes": (LOGITS[:, :2], LABELS.clamp(max=1)),
    "all of one class": (LOGITS[:3], LABELS[:3]),
    "one image": (LOGITS[:1], LABELS[:1]),
    "seven classes": (torch.randn(40, 7, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 7),
    "ties of probabilities": (torch.tensor([[60.0, 0], [70, 0], [0, 80], [90, 0]]), torch.tensor([0, 1, 1, 1])),
}


@pytest.mark.parametrize("case", CASES)
def test_summary_is_the_textbooks(case):
    logits, labels = CASES[case]
    expected = by_definition(logits.double().numpy(), labels.numpy())
    assert summary(logits, labels) == pytest.approx(expected, abs=1e-6)


def test_summary_by_hand():
    assert summary(LOGITS, LABELS) == pytest.approx(
        {
            "accuracy": 4 / 6,
            "top5": 1.0,  # there are three classes
            "macro_f1": (2 * 2 / 5 + 2 * 1 / 4 + 2 * 1 / 3) / 3,
            "macro_precision": (1 + 1 / 3 + 1) / 3,
            "macro_recall": (2 / 3 + 1 + 1 / 2) / 3,
            "auroc": (7 / 9 + 1 + 5.5 / 8) / 3,
            "loss": float(torch.nn.functional.cross_entropy(LOGITS, LABELS)),
        },
        abs=1e-6,
    )


def test_top5():
    logits, labels = torch.arange(7.0).repeat(7, 1), torch.arange(7)
    assert summary(logits, labels)["top5"] == pytest.approx(5 / 7, abs=1e-6)


def test_auroc_is_undefined_for_one_class_alone():
    assert summary(LOGITS[:3], LABELS[:3])["auroc"] is None


def test_a_nan_is_written_as_nothing():
    assert summary(torch.full((2, 2), math.nan), torch.tensor([0, 1]))["loss"] is None


def test_report():
    found = report(LOGITS, LABELS, ("a", "b", "c"))
    assert found == {
        **summary(LOGITS, LABELS),
        "images": 6,
        "per_class": {
            "a": {"precision": 1.0, "recall": 0.666667, "f1": 0.8, "images": 3},
            "b": {"precision": 0.333333, "recall": 1.0, "f1": 0.5, "images": 1},
            "c": {"precision": 1.0, "recall": 0.5, "f1": 0.666667, "images": 2},
        },
        "confusion_matrix": [[2, 1, 0], [0, 1, 0], [0, 1, 1]],
    }


def test_report_of_a_class_without_images():
    found = report(LOGITS, LABELS.clamp(max=1), ("a", "b", "c"))
    assert found["per_class"]["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "images": 0}
    assert found["confusion_matrix"][2] == [0, 0, 0]


@pytest.mark.parametrize(
    ("metric", "new", "old", "expected"),
    [
        ("accuracy", 0.5, None, True),
        ("accuracy", 0.6, 0.5, True),
        ("accuracy", 0.5, 0.5, False),
        ("auroc", 0.4, 0.5, False),
        ("auroc", None, 0.5, False),
        ("auroc", None, None, False),
        ("loss", 0.4, 0.5, True),
        ("loss", 0.6, 0.5, False),
        ("loss", 0.5, 0.5, False),
        ("loss", math.nan, 0.5, False),
        ("loss", math.nan, None, False),
        ("loss", 0.5, None, True),
    ],
)
def test_better(metric, new, old, expected):
    assert better(metric, new, old) is expected
