"""Several labels an image: lists, cells with a delimiter, one column for each label; what is unknown; decisions."""

from typing import Any

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, List, Value

from zoo.errors import DataError
from zoo.tasks.multilabel import Multilabel
from zoo.tasks.rule import IDENTITY, Rule
from zoo.tasks.targets import Labels, choose_task
from zoo.tasks.task import Decision

TASK = Multilabel()
SKY = ClassLabel(names=["sun", "rain", "snow"])
NAN = np.nan


def split(values: list[Any], kind: Any) -> Dataset:
    return Dataset.from_dict({"tags": values}, features=Features({"tags": kind}))


def encoded(data: Dataset, how: Labels) -> tuple[tuple[str, ...], list[list[float]]]:
    classes = TASK.classes(data, how)
    targets = TASK.encode(data, how, classes, "train", "train")
    assert targets.dtype == np.float32
    return classes, targets.tolist()


TEXT = [["b", "a"], [], ["b"]]


@pytest.mark.parametrize(
    ("values", "kind", "delimiter", "classes", "targets"),
    [
        ([[0, 2], [], [1]], List(SKY), None, ("sun", "rain", "snow"), [[1, 0, 1], [0, 0, 0], [0, 1, 0]]),
        (TEXT, List(Value("string")), None, ("a", "b"), [[1, 1], [0, 0], [0, 1]]),
        ([[10, 9], [9]], List(Value("int64")), None, ("9", "10"), [[1, 1], [1, 0]]),
        (["b; a", "", "b;"], Value("string"), ";", ("a", "b"), [[1, 1], [0, 0], [0, 1]]),
        (["b", "a b"], Value("string"), " ", ("a", "b"), [[0, 1], [1, 1]]),
        (["b", "a"], Value("string"), None, ("a", "b"), [[0, 1], [1, 0]]),
        ([2, 0], SKY, None, ("sun", "rain", "snow"), [[0, 0, 1], [1, 0, 0]]),
    ],
)
def test_names_and_targets(values: list, kind: Any, delimiter: str | None, classes: tuple, targets: list) -> None:
    assert encoded(split(values, kind), Labels.of("tags", delimiter)) == (classes, targets)


def test_a_row_that_says_nothing_is_unknown() -> None:
    _, targets = encoded(split([[0], None, []], List(SKY)), Labels.of("tags"))
    assert np.array_equal(targets, [[1, 0, 0], [NAN] * 3, [0, 0, 0]], equal_nan=True)


@pytest.mark.parametrize(
    ("kind", "cells"),
    [("int64", [1, 0, -1, None]), ("string", ["1", "0", "-1", ""]), ("float32", [1.0, 0.0, -1.0, float("nan")])],
)
def test_one_column_for_each_label(kind: str, cells: list[Any]) -> None:
    data = Dataset.from_dict(
        {"cat": cells, "dog": cells[::-1]}, features=Features({"cat": Value(kind), "dog": Value(kind)})
    )
    classes, targets = encoded(data, Labels.of(["cat", "dog"]))
    assert classes == ("cat", "dog")
    assert np.array_equal(targets, [[1, NAN], [0, NAN], [NAN, 0], [NAN, 1]], equal_nan=True)


@pytest.mark.parametrize(
    ("data", "how", "message"),
    [
        (split([["a"], ["c"]], List(Value("string"))), Labels.of("tags"),
            "the split 'val' has the class 'c', which the training split does not have ('a', 'b'). "
            "Rename or remove it, or name another split: data.splits.validation=NAME"),
        (split([None, None], List(Value("string"))), Labels.of("tags"),
            "the split 'val' has no labels. Name another: data.splits.validation=NAME"),
        (Dataset.from_dict({"a": ["1"], "b": ["yes"]}), Labels.of(["a", "b"]),
            "row 0 of the split 'val' has 'yes' in the label column 'b', which must hold 1 (yes), 0 (no), "
            "and -1 or nothing (unknown)"),
    ],
)  # fmt: skip
def test_what_cannot_be_encoded(data: Dataset, how: Labels, message: str) -> None:
    with pytest.raises(DataError) as problem:
        TASK.encode(data, how, ("a", "b"), "val", "validation")
    assert str(problem.value) == message


def test_a_label_without_positives_is_a_warning() -> None:
    targets = np.array([[1, 0, 1], [0, 0, 1], [1, NAN, NAN]], np.float32)
    assert TASK.check_train(targets, ("a", "b", "c"), ()) == [
        "no training image has 'b' (1 of 3 labels)",
        "every training image has 'c', or it is unknown",
    ]
    with pytest.raises(DataError, match=r"^no label varies in the training split \('a', 'b', 'c'\)"):
        TASK.check_train(np.zeros((4, 3), np.float32), ("a", "b", "c"), ())


def test_labels_of_other_data_are_found_by_name_and_others_are_unknown() -> None:
    targets = np.array([[1, 0], [NAN, 1]], np.float32)
    renumbered = TASK.renumber(targets, np.array([2, -1]), 3)
    assert np.array_equal(renumbered, [[NAN, NAN, 1], [NAN, NAN, NAN]], equal_nan=True)
    assert TASK.labels(targets[0]) == (0,)
    assert TASK.counts(targets, 2).tolist() == [1, 1]


def test_the_bias_starts_at_the_log_odds() -> None:
    targets = np.array([[1, 0], [0, 0], [0, NAN], [0, NAN]], np.float32)
    assert torch.allclose(TASK.prior_bias(targets, 2).sigmoid(), torch.tensor([1.5 / 5, 0.5 / 3]))


def test_probabilities_and_decisions() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0], [-3.0, -2.0, -1.0]])
    assert torch.equal(TASK.probabilities(logits, IDENTITY), logits.sigmoid())
    prior = Rule(temperature=2.0, prior=(0.5, 0.5, 0.2), tau=1.0)
    expected = logits / 2 - torch.tensor([0.0, 0.0, float(np.log(0.25))])
    assert torch.allclose(TASK.probabilities(logits, prior), expected.sigmoid())
    assert TASK.decide(logits.sigmoid(), IDENTITY) == [Decision((0, 1)), Decision(())]
    assert TASK.decide(logits.sigmoid(), Rule(thresholds=(0.9, 0.5, 0.2))) == [Decision((1, 2)), Decision((2,))]


def chosen(values: list[Any], kind: Any, wanted: str = "auto", delimiter: str | None = None) -> str:
    return choose_task(wanted, split(values, kind), Labels.of("tags", delimiter)).name


@pytest.mark.parametrize(
    ("values", "kind", "name"),
    [
        ([[0]], List(SKY), "multilabel"),
        ([["a"]], List(Value("string")), "multilabel"),
        ([0], SKY, "multiclass"),
        ([3], Value("int32"), "multiclass"),
        (["a", "b"], Value("string"), "multiclass"),
        (["T-shirt, top", "coat", None, "dress", "shoe", "bag"], Value("string"), "multiclass"),
        (["a;b", "a", *"cdefghij"], Value("string"), "multiclass"),  # fewer than a fifth of the cells
    ],
)
def test_the_column_says_which_task_it_is(values: list[Any], kind: Any, name: str) -> None:
    assert chosen(values, kind) == name


@pytest.mark.parametrize("delimiter", [";", "|", ","])
def test_cells_that_may_hold_several_labels_are_asked_about(delimiter: str) -> None:
    values = [f"cat{delimiter} dog", "cat", "dog", "emu", "emu"]
    with pytest.raises(DataError) as problem:
        chosen(values, Value("string"))
    assert str(problem.value) == (
        f"data.label_column: 'tags' may hold several labels a cell, as in 'cat{delimiter} dog'. "
        f"Say what they are: data.label_delimiter='{delimiter}' for several labels, task=multiclass for one class"
    )
    assert chosen(values, Value("string"), "multiclass") == "multiclass"
    assert chosen(values, Value("string"), delimiter=delimiter) == "multilabel"


@pytest.mark.parametrize(
    ("kind", "wanted", "delimiter", "message"),
    [
        (List(SKY), "multiclass", None, "data.label_column: 'tags' holds lists of ClassLabel values, which "
            "task=multiclass does not read. Name another column, or another task: multiclass, multilabel"),
        (Value("string"), "multiclass", ";", "data.label_delimiter: 'tags' is not split, task=multiclass reads one "
            "label a cell. Leave out data.label_delimiter"),
        (SKY, "auto", ";", "data.label_delimiter: 'tags' is not split, its cells hold no text. "
            "Leave out data.label_delimiter"),
    ],
)  # fmt: skip
def test_a_task_that_does_not_fit_the_column(kind: Any, wanted: str, delimiter: str | None, message: str) -> None:
    with pytest.raises(DataError) as problem:
        chosen([], kind, wanted, delimiter)
    assert str(problem.value) == message
