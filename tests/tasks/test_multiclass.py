"""Class lists from class labels, words and numbers, and what is wrong with them."""

from typing import Any

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value

from zoo.errors import DataError
from zoo.tasks.multiclass import Multiclass
from zoo.tasks.rule import IDENTITY, Rule
from zoo.tasks.targets import Labels
from zoo.tasks.task import Decision

TASK, HOW = Multiclass(), Labels.of("label")
ANIMALS = ClassLabel(names=["cat", "dog", "emu"])


def split(labels: list[Any], kind: Any) -> Dataset:
    return Dataset.from_dict({"label": labels}, features=Features({"label": kind}))


def out_of_range(labels: list[int]) -> Dataset:
    """Labels as another program may have stored them, past the check that `datasets` makes."""
    return Dataset(split(labels, Value("int64")).data, info=split([0], ANIMALS).info)


@pytest.mark.parametrize(
    ("labels", "kind", "names", "indices"),
    [
        ([2, 0, 1], ANIMALS, ("cat", "dog", "emu"), [2, 0, 1]),
        ([2, 0], ANIMALS, ("cat", "dog", "emu"), [2, 0]),
        (["emu", "cat", "cat"], Value("string"), ("cat", "emu"), [1, 0, 0]),
        ([10, 9, -1], Value("int32"), ("-1", "9", "10"), [2, 1, 0]),
        ([True, False], Value("bool"), ("False", "True"), [1, 0]),
    ],
)
def test_names_and_indices(labels: list[Any], kind: Any, names: tuple[str, ...], indices: list[int]) -> None:
    data = split(labels, kind)
    assert TASK.classes(data, HOW) == names
    found = TASK.encode(data, HOW, names, "train", "train")
    assert (found.dtype, found.tolist()) == (np.int64, indices)


def test_a_split_with_its_own_numbering_is_mapped_by_name() -> None:
    other = split([0, 1, 1], ClassLabel(names=["emu", "cat"]))
    assert TASK.encode(other, HOW, ANIMALS.names, "val", "validation").tolist() == [2, 0, 0]
    assert TASK.encode(split(["dog"], Value("string")), HOW, ANIMALS.names, "val", "validation").tolist() == [1]


TOO_FEW = (
    "a classifier needs at least two classes, the training split has {}. "
    "Add images of another, or name the right column: data.label_column=NAME"
)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (split(["cat", "cat"], Value("string")), TOO_FEW.format("'cat'")),
        (split([], Value("string")), TOO_FEW.format("none")),
        (split([0, 0], ClassLabel(names=["cat"])), TOO_FEW.format("'cat'")),
        (
            split(["cat", None], Value("string")),
            "data.label_column: 'label' has rows without a label. "
            "Remove them, or name another column: data.label_column=NAME",
        ),
    ],
)
def test_a_class_list_that_cannot_be(data: Dataset, message: str) -> None:
    with pytest.raises(DataError) as problem:
        TASK.classes(data, HOW)
    assert str(problem.value) == message


NUMBERED = "but the 3 classes are numbered 0 to 2. Correct or remove such rows"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (out_of_range([0, 3, 9]), f"row 1 of the split 'val' has label 3, {NUMBERED} (2 of 3)"),
        (out_of_range([0, -2]), f"row 1 of the split 'val' has label -2, {NUMBERED} (1 of 2)"),
        (split([-1, 0], ANIMALS), f"row 0 of the split 'val' has label -1, {NUMBERED} (1 of 2)"),
        (split([0, None], ANIMALS), f"row 1 of the split 'val' has label None, {NUMBERED} (1 of 2)"),
        (split([-1, None], ANIMALS), "the split 'val' has no labels. Name another: data.splits.validation=NAME"),
        (
            split(["cat", "yak", "ant"], Value("string")),
            "the split 'val' has the class 'ant', which the training split does not have ('cat', 'dog', 'emu'). "
            "Rename or remove it, or name another split: data.splits.validation=NAME",
        ),
    ],
)
def test_labels_that_train_does_not_have(data: Dataset, message: str) -> None:
    with pytest.raises(DataError) as problem:
        TASK.encode(data, HOW, ANIMALS.names, "val", "validation")
    assert str(problem.value) == message


def test_every_class_needs_training_images() -> None:
    assert TASK.check_train(np.array([0, 1, 2]), ANIMALS.names, ()) == []
    with pytest.raises(DataError) as problem:
        TASK.check_train(np.array([1, 1]), ANIMALS.names, ())
    assert str(problem.value) == TOO_FEW.format("'dog'")
    with pytest.raises(DataError) as problem:
        TASK.check_train(np.array([1, 3]), list("abcdefghi"), ())
    assert str(problem.value) == (
        "the training split has no image of 'a', 'c', 'e', 'f', 'g' and 2 more (7 of 9 classes). "
        "Add some, or take the class out of the data set's class list"
    )


def test_what_is_taken_from_train_must_be_there() -> None:
    labels = np.array([0, 0, 0, 1, 1])
    assert TASK.check_train(labels, ["cat", "dog"], ["test"]) == []
    with pytest.raises(DataError) as problem:
        TASK.check_train(labels, ["cat", "dog"], ["test", "validation"])
    assert str(problem.value) == (
        "the class 'dog' needs at least 3 training images and has 2, as train also gives test and validation. "
        "Add images, or name splits: data.splits.test=NAME data.splits.validation=NAME"
    )


def test_labels_and_shares() -> None:
    targets = np.array([1, 1, 0])
    assert TASK.counts(targets, 3).tolist() == [1, 2, 0]
    assert TASK.labels(targets[0]) == (1,)
    assert TASK.soft(torch.from_numpy(targets), 3).tolist() == [[0, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert TASK.renumber(targets, np.array([5, 3, -1]), 6).tolist() == [3, 3, 5]


def test_probabilities_follow_the_rule() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0]])
    assert torch.equal(TASK.probabilities(logits, IDENTITY), logits.softmax(1))
    assert torch.equal(TASK.probabilities(logits, Rule(temperature=2.0)), (logits / 2).softmax(1))
    prior = (0.5, 0.3, 0.2)
    moved = TASK.probabilities(logits, Rule(prior=prior, tau=1.0))
    expected = logits.softmax(1) / torch.tensor([prior])
    assert torch.allclose(moved, expected / expected.sum())


def test_decisions() -> None:
    sure, unsure = [0.1, 0.7, 0.2], [0.4, 0.4, 0.2]
    probabilities = torch.tensor([sure, unsure])
    assert TASK.decide(probabilities, IDENTITY) == [Decision((1,)), Decision((0,))]
    assert TASK.decide(probabilities, Rule(abstain_below=0.5)) == [Decision((1,)), Decision((), abstained=True)]
    sets = [decision.candidates for decision in TASK.decide(probabilities, Rule(quantile=0.75))]
    assert sets == [(1,), (0, 1)]
