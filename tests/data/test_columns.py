"""Columns are found by their type and name, or by the recipe's word."""

from collections.abc import Callable
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Image, List, Value
from PIL import Image as Pillow

from zoo.data.columns import image_column, label_column
from zoo.errors import DataError, UnknownName

Picture = Callable[..., Pillow.Image]


NUMBER, LABELS = (Value("int64"), [1]), (ClassLabel(names=["a", "b"]), [1])
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
        ({"id": NUMBER, "Category": NUMBER}, None, "Category"),
        ({"category": NUMBER, "Label": NUMBER}, None, "Label"),
        ({"kind": (Value("string"), ["x"]), "share": (Value("float32"), [0.5])}, None, "kind"),
    ],
)
def test_label_columns(extra: dict[str, Any], wanted: str | None, found: str, picture: Picture) -> None:
    assert label_column(columns(picture, extra), wanted) == found


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
            label_column, {"fine": LABELS, "coarse": LABELS}, None,
            "data.label_column: cannot tell which column holds the labels (found fine and coarse; "
            "columns: img, fine, coarse). Name it: data.label_column=NAME",
        ),
        (
            label_column, {"share": (Value("float32"), [0.5])}, None,
            "data.label_column: cannot tell which column holds the labels (found none; columns: img, share). "
            "Name it: data.label_column=NAME",
        ),
        (
            image_column, {"other": (Image(), [None])}, None,
            "data.image_column: cannot tell which column holds the images (found img and other; "
            "columns: img, other). Name it: data.image_column=NAME",
        ),
        (label_column, {"label": LABELS}, "lable", "unknown column in data.label_column 'lable'. Did you mean 'label'?"),
        (image_column, {"label": LABELS}, "pic", "unknown column in data.image_column 'pic'. There are: img, label."),
        (
            label_column, {"share": (Value("float32"), [0.5])}, "share",
            "data.label_column: 'share' is of type float32, not labels (columns: img, share)",
        ),
        (
            label_column, {"several": (List(Value("int64")), [[1]])}, "several",
            "data.label_column: 'several' is of type List, not labels (columns: img, several)",
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
