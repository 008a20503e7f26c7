"""Columns are found by their type and name, or by the recipe's word."""

from collections.abc import Callable
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Image, List, Value
from PIL import Image as Pillow

from zoo.data.columns import groups, image_column, label_columns, weights
from zoo.errors import DataError, UnknownName

Picture = Callable[..., Pillow.Image]


NUMBER, LABELS = (Value("int64"), [1]), (ClassLabel(names=["a", "b"]), [1])
MANY = (List(LABELS[0]), [[0, 1]])
RECORD = ({"bytes": Value("binary"), "path": Value("string")}, [{"bytes": b"", "path": ""}])


def columns(picture: Picture, extra: dict[str, Any]) -> Dataset:
    values = {"img": [picture()]} | {name: values for name, (_, values) in extra.items()}
    return Dataset.from_dict(values, features=Features({"img": Image()} | {n: kind for n, (kind, _) in extra.items()}))


@pytest.mark.parametrize(
    ("extra", "wanted", "found"),
    [
        ({"fine": LABELS}, None, "fine"),
        ({"fine": LABELS, "label": NUMBER, "id": NUMBER}, None, "fine"),
        ({"id": NUMBER, "label": NUMBER}, None, "label"),
        ({"id": NUMBER, "kind": (Value("large_string"), ["x"])}, "kind", "kind"),
        ({"tags": MANY}, None, "tags"),
        ({"tags": MANY, "fine": LABELS}, None, "fine"),
        ({"id": NUMBER, "tags": (List(Value("string")), [["a"]])}, "tags", "tags"),
        ({"id": NUMBER, "a": NUMBER, "b": NUMBER}, ["b", "a"], ["b", "a"]),
        ({"id": NUMBER, "Category": NUMBER}, None, "Category"),
        ({"category": NUMBER, "Label": NUMBER}, None, "Label"),
        ({"kind": (Value("string"), ["x"]), "share": (Value("float32"), [0.5])}, None, "kind"),
    ],
)
def test_label_columns(
    extra: dict[str, Any], wanted: str | list[str] | None, found: str | list[str], picture: Picture
) -> None:
    assert label_columns(columns(picture, extra), wanted) == ([found] if isinstance(found, str) else found)


def test_image_columns(picture: Picture) -> None:
    plain = Dataset.from_dict(
        {"file": ["a.png"], "record": RECORD[1]}, features=Features({"file": Value("string"), "record": RECORD[0]})
    )
    assert image_column(columns(picture, {"label": NUMBER}), None) == "img"
    assert image_column(plain, None) == "record"
    assert image_column(plain, "file") == "file"


@pytest.mark.parametrize(
    ("find", "extra", "wanted", "message"),
    [
        (
            label_columns, {"fine": LABELS, "coarse": LABELS}, None,
            "data.label_column: cannot tell which column holds the labels (found fine and coarse; "
            "columns: img, fine, coarse). Name it: data.label_column=NAME",
        ),
        (
            label_columns, {"share": (Value("float32"), [0.5])}, None,
            "data.label_column: cannot tell which column holds the labels (found none; columns: img, share). "
            "Name it: data.label_column=NAME",
        ),
        (
            image_column, {"other": (Image(), [None])}, None,
            "data.image_column: cannot tell which column holds the images (found img and other; "
            "columns: img, other). Name it: data.image_column=NAME",
        ),
        (label_columns, {"label": LABELS}, "lable", "unknown column in data.label_column 'lable'. Did you mean 'label'?"),
        (image_column, {"label": LABELS}, "pic", "unknown column in data.image_column 'pic'. There are: img, label."),
        (
            label_columns, {"when": (Value("date32"), [None])}, "when",
            "data.label_column: 'when' is of type date32, not labels (columns: img, when)",
        ),
        (
            label_columns, {"boxes": (List(List(Value("float32"))), [[[1.0]]])}, "boxes",
            "data.label_column: 'boxes' is of type List, not labels (columns: img, boxes)",
        ),
        (
            image_column, {"label": LABELS}, "label",
            "data.image_column: 'label' is of type ClassLabel, not images (columns: img, label)",
        ),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_told(
    find: Callable[..., str], extra: dict[str, Any], wanted: str | None, message: str, picture: Picture
) -> None:
    with pytest.raises((DataError, UnknownName)) as problem:
        find(columns(picture, extra), wanted)
    assert str(problem.value) == message


def test_columns_with_another_role_are_no_labels(picture: Picture) -> None:
    split = columns(picture, {"species": NUMBER, "patient": NUMBER})
    assert label_columns(split, None, {None, "patient"}) == ["species"]
    with pytest.raises(DataError, match="cannot tell which column holds the labels"):
        label_columns(split, None)


def test_a_label_column_is_named_once(picture: Picture) -> None:
    with pytest.raises(DataError, match=r"'a' is named twice\. Name each column once"):
        label_columns(columns(picture, {"a": NUMBER}), ["a", "a"])


@pytest.mark.parametrize("values", [[0, 2, 0.5], ["0", " 2", "0.5"], [False, 2.0, 0.5]])
def test_weights_are_numbers_or_their_text(values: list[Any]) -> None:
    values = [float(v) for v in values] if isinstance(values[0], bool) else values
    assert weights(Dataset.from_dict({"w": values}), "w", "train").tolist() == [0.0, 2.0, 0.5]


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "much", "", None])
def test_what_is_no_weight(value: str | None) -> None:
    with pytest.raises(DataError) as problem:
        weights(Dataset.from_dict({"w": ["1", value]}), "w", "train")
    assert str(problem.value) == (
        f"data.weight_column: row 1 of the split 'train' has {value!r} in 'w', expected a finite number from 0. "
        "Correct or remove such rows"
    )


def test_groups_are_compared_as_text() -> None:
    split = Dataset.from_dict({"g": [7, 7, 12]})
    assert groups(split, "g", "train").tolist() == ["7", "7", "12"]
    with pytest.raises(UnknownName, match=r"unknown column in data\.group_column 'h'\. There are: g"):
        groups(split, "h", "train")
    with pytest.raises(DataError, match=r"row 1 of the split 'train' has no group in 'g'"):
        groups(Dataset.from_dict({"g": ["a", None]}), "g", "train")
