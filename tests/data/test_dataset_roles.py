"""Weight and group columns from a table to splits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo.config.recipe import Data
from zoo.data.dataset import ImageData, load_data
from zoo.errors import DataError

Table = Callable[..., Path]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """table(rows, **columns): a CSV file of so many rows, of two labels in turn, with these columns."""

    def make(rows: int, **columns: list[Any]) -> Path:
        lines = [",".join(["image", "label", *columns])]
        for i in range(rows):
            Image.new("RGB", (8, 8), (i, i, i)).save(tmp_path / f"{i}.png")
            lines.append(",".join([f"{i}.png", "ab"[i % 2], *(str(values[i]) for values in columns.values())]))
        (tmp_path / "labels.csv").write_text("\n".join(lines))
        return tmp_path / "labels.csv"

    return make


def load(path: Path, **data: Any) -> ImageData:
    return load_data(Data(source=str(path), **data), 0)


def test_weights_have_a_mean_of_one_over_the_training_images(table: Table) -> None:
    path = table(40, weight=[i % 4 for i in range(40)], split=["train"] * 30 + ["val"] * 5 + ["test"] * 5)
    data = load(path, weight_column="weight")
    weights = data.splits["train"].weights
    assert weights.dtype == np.float32 and weights.mean() == pytest.approx(1)
    given = np.asarray([i % 4 for i in range(30)])
    assert np.allclose(weights, given / given.mean())
    assert data.splits["validation"].weights is None and data.splits["test"].weights is None
    assert load(path, label_column="label").splits["train"].weights is None
    assert data.fingerprint != load(path, label_column="label").fingerprint, "a run goes on with the same weights only"


def test_weights_follow_their_images_where_train_gives_splits(table: Table) -> None:
    data = load(table(40, weight=range(1, 41)), weight_column="weight", limit=20)
    train = data.splits["train"]
    numbers = np.asarray([int(Path(r["path"]).stem) + 1 for r in train.encoded.read(range(len(train)))])
    assert np.allclose(train.weights, numbers / numbers.mean())


def test_weights_of_nothing(table: Table) -> None:
    with pytest.raises(
        DataError, match=r"all 16 training images of the split 'train' have the weight 0\. Name another"
    ):
        load(table(20, weight=[0] * 20), weight_column="weight")


def test_no_group_is_in_two_splits(table: Table) -> None:
    patients = [f"p{i // 4}" for i in range(80)]
    data = load(table(80, patient=patients), group_column="patient")
    members = {}
    for kind, split in data.splits.items():
        files = [int(Path(r["path"]).stem) for r in split.encoded.read(range(len(split)))]
        members[kind] = {patients[i] for i in files}
    assert {kind: len(groups) for kind, groups in members.items()} == {"train": 16, "validation": 2, "test": 2}
    assert not members["train"] & members["test"] | members["train"] & members["validation"]
    assert not members["validation"] & members["test"]
    assert data.splits["test"].origin == "train, stratified 0.1 by whole groups of 'patient', seed 1"
    assert data.splits["train"].origin == "train"


def test_too_few_groups_and_groups_in_two_given_splits(table: Table) -> None:
    split = ["train"] * 10 + ["val"] * 5 + ["test"] * 5
    with pytest.raises(DataError, match="has 2 groups, which cannot be divided into train, test and validation"):
        load(table(20, scene=[i // 10 for i in range(20)]), group_column="scene")
    warned = load(table(20, scene=[i % 12 for i in range(20)], split=split), group_column="scene").warnings
    assert warned == [
        "train and validation share 3 groups, such as '0'; figures of validation may be too good",
        "train and test share 5 groups, such as '3'; figures of test may be too good",
    ]


def test_one_column_for_each_label(table: Table) -> None:
    pneumonia, effusion = ["1", "0", "", "-1", "1.0"] * 8, ["0", "1"] * 20
    data = load(table(40, pneumonia=pneumonia, effusion=effusion), label_column=["pneumonia", "effusion"])
    assert (data.task.name, data.classes) == ("multilabel", ("pneumonia", "effusion"))
    train = data.splits["train"]
    rows = [int(Path(r["path"]).stem) for r in train.encoded.read(range(len(train)))]
    says = {"1": 1.0, "1.0": 1.0, "0": 0.0, "": np.nan, "-1": np.nan}
    expected = np.asarray([[says[pneumonia[i]], says[effusion[i]]] for i in rows], np.float32)
    assert np.array_equal(train.targets, expected, equal_nan=True)


def test_several_labels_a_cell(table: Table) -> None:
    data = load(table(40, tags=["x;y", "y", "", "z; x"] * 10), label_column="tags", label_delimiter=";")
    assert (data.task.name, data.classes) == ("multilabel", ("x", "y", "z"))
    train = data.splits["train"]
    rows = [int(Path(r["path"]).stem) % 4 for r in train.encoded.read(range(len(train)))]
    expected = np.asarray([[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 1]], np.float32)[rows]
    assert np.array_equal(train.targets, expected), "a blank cell has none of the labels"


def test_groups_and_several_labels_together(table: Table) -> None:
    path = table(60, tags=["x;y", "y", "x"] * 20, patient=[i // 3 for i in range(60)])
    data = load(path, label_column="tags", label_delimiter=";", group_column="patient")
    patients = {
        kind: {int(Path(r["path"]).stem) // 3 for r in split.encoded.read(range(len(split)))}
        for kind, split in data.splits.items()
    }
    assert {kind: len(found) for kind, found in patients.items()} == {"train": 16, "validation": 2, "test": 2}
    assert len(set.union(*patients.values())) == 20
