"""Folders of every layout become splits, and what is wrong with one is said in full."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image
from PIL import Image as Pillow

from zoo.config.recipe import Data
from zoo.config.source_ref import BUILT_IN
from zoo.data.sources import SOURCES, open_source
from zoo.data.sources.naming import ADVICE
from zoo.errors import DataError, UnknownName

Tree = Callable[..., Path]
Picture = Callable[..., Pillow.Image]


def rows(picture: Picture, count: int, **columns: Any) -> Dataset:
    """`count` noise images in `img` with alternating labels, cat and dog, or the `columns` given."""
    columns = columns or {"label": (ClassLabel(names=["cat", "dog"]), [i % 2 for i in range(count)])}
    values = {"img": [picture(i) for i in range(count)]} | {name: values for name, (_, values) in columns.items()}
    return Dataset.from_dict(
        values, features=Features({"img": Image()} | {n: kind for n, (kind, _) in columns.items()})
    )


def sizes(source: Path | str) -> dict[str, int]:
    return {name: len(split) for name, split in open_source(Data(source=str(source))).items()}


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({"cat": 3, "dog": 2}, {"train": 5}),
        ({"cat/young": 1, "cat/old/grey": 2, "dog": 2}, {"train": 5}),
        (
            {"train/cat": 3, "train/dog": 2, "val/cat": 1, "val/dog": 1, "test/dog": 2},
            {"train": 5, "val": 2, "test": 2},
        ),
        ({"Train/cat": 3, "Train/dog": 2, "Testing/cat/x": 1}, {"Train": 5, "Testing": 1}),
        ({"cat": 3, "dog": 2, ".cache/x": 1, "cat/.thumbs": 1}, {"train": 5}),
    ],
)
def test_image_folders(counts: dict[str, int], found: dict[str, int], tree: Tree) -> None:
    folder = tree(counts)
    (folder / "notes.txt").write_text("not an image")
    for stray in ("._0.png", "Thumbs.db"):
        next(p for p in folder.rglob("0.png") if ".cache" not in p.parts).with_name(stray).write_bytes(b"x")
    splits = open_source(Data(source=str(folder)))
    assert {name: len(split) for name, split in splits.items()} == found
    train = splits.get("train") or splits["Train"]
    assert train.features["label"].names == ["cat", "dog"]
    for row in train:
        assert train.features["label"].int2str(row["label"]) in Path(row["image"]["path"]).parts


def test_the_home_folder_is_found(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tree({"cat": 1, "dog": 1}).parent))
    assert sizes("~/images") == {"train": 2}


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"), {"train": 4, "test": 2}),
        (("data/train-00000-of-00001", "data/validation-00000-of-00001"), {"train": 2, "validation": 2}),
        (("default/train/0000", "default/test/0000", "default/test/0001"), {"train": 2, "test": 4}),
        (("train-00000-of-00001", "extra-00000-of-00001"), {"train": 2, "extra": 2}),
        (("animals_train", "animals_test"), {"train": 2, "test": 2}),
        (("animals", "more"), {"train": 4}),
    ],
)
def test_parquet_folders(files: tuple[str, ...], found: dict[str, int], tmp_path: Path, picture: Picture) -> None:
    for file in files:
        (tmp_path / "set" / file).parent.mkdir(parents=True, exist_ok=True)
        rows(picture, 2).to_parquet(tmp_path / "set" / f"{file}.parquet")
    assert sizes(tmp_path / "set") == found


def test_a_single_parquet_file(tmp_path: Path, picture: Picture) -> None:
    rows(picture, 3).to_parquet(tmp_path / "animals_test.parquet")
    rows(picture, 2).to_parquet(tmp_path / "other.parquet")
    assert sizes(tmp_path / "animals_test.parquet") == {"test": 3}
    assert sizes(tmp_path / "other.parquet") == {"train": 2}


def test_saved_folders(tmp_path: Path, picture: Picture) -> None:
    rows(picture, 3).save_to_disk(tmp_path / "one")
    DatasetDict(train=rows(picture, 3), other=rows(picture, 2)).save_to_disk(tmp_path / "many")
    assert sizes(tmp_path / "one") == {"train": 3}
    assert sizes(tmp_path / "many") == {"train": 3, "other": 2}


def test_the_sample_is_installed() -> None:
    assert sizes("sample:fashion-mnist") == {"train": 2000, "validation": 500, "test": 1500}


@pytest.mark.parametrize("name", ["fashion-mnits", "../samples/fashion-mnist", ""])
def test_unknown_samples(name: str) -> None:
    with pytest.raises(UnknownName) as problem:
        open_source(Data(source=f"sample:{name}"))
    assert str(problem.value).startswith(f"unknown sample '{name}'. ")
    assert "fashion-mnist'?" in str(problem.value) or str(problem.value).endswith("There are: fashion-mnist.")


def no_folders(folder: Path, tree: Tree) -> str:
    folder.mkdir()
    return f"'{folder}' holds no class folders and no parquet files. {ADVICE}"


def empty_split(folder: Path, tree: Tree) -> str:
    tree({"train/cat": 1, "test": 0})
    return f"'{folder}/test' holds no class folders. {ADVICE}"


def empty_class(folder: Path, tree: Tree) -> str:
    tree({"train/cat": 1, "train/dog": 0})
    return f"the class folder '{folder}/train/dog' holds no images. Fill it or remove it"


def mixed(folder: Path, tree: Tree) -> str:
    tree({"train/cat": 1, "test/cat": 1, "zebra": 1})
    return f"'{folder}' mixes splits (test, train) with other folders ('zebra'). Move one of them away"


def strange_class(folder: Path, tree: Tree) -> str:
    os.rename(tree({"cat": 1, "dog": 1}) / "dog", os.fsencode(folder) + b"/caf\xe9")
    return f"the path '{folder}/caf\\udce9/0.png' is not UTF-8. Rename it"


def strange_file(folder: Path, tree: Tree) -> str:
    os.rename(tree({"cat": 1, "dog": 1}) / "dog/0.png", os.fsencode(folder) + b"/dog/\xff.png")
    return f"the path '{folder}/dog/\\udcff.png' is not UTF-8. Rename it"


def a_file(folder: Path, tree: Tree) -> str:
    folder.write_text("")
    return f"'{folder}' is a file, and none that can be read (.csv, .tsv, .jsonl, .ndjson, .parquet). {ADVICE}"


def nothing(folder: Path, tree: Tree) -> str:
    return f"there is no folder '{folder}'. {ADVICE}"


def broken_parquet(folder: Path, tree: Tree) -> str:
    folder.mkdir()
    (folder / "train.parquet").write_bytes(b"PAR1 and nothing more")
    return (
        f"'{folder}/train.parquet' is not a whole parquet file: Parquet magic bytes not found in footer. "
        "Either the file is corrupted or this is not a parquet file."
    )


def two_sets(folder: Path, tree: Tree) -> str:
    folder.mkdir()
    for name, column in (("test", "img"), ("train", "image")):
        pyarrow.parquet.write_table(pa.table({column: [1], "label": [1]}), folder / f"{name}.parquet")
    return (
        f"'{folder}/test.parquet' has the columns img, label, but '{folder}/train.parquet' has image, label. "
        "Keep the files of one data set in the folder"
    )


def same_columns_other_types(folder: Path, tree: Tree) -> str:
    folder.mkdir()
    for name, value in (("test", 1), ("train", {"a": 2})):
        pyarrow.parquet.write_table(pa.table({"img": [value], "label": [1]}), folder / f"{name}.parquet")
    return f"the parquet files in '{folder}' cannot be read: Couldn't cast array of type struct<a: int64> to int64"


def empty_parquet(folder: Path, tree: Tree) -> str:
    folder.mkdir()
    pyarrow.parquet.write_table(pa.table({"img": [], "label": []}), folder / "train.parquet")
    return f"'{folder}/train.parquet' holds no rows. Fill it or remove it"


def half_saved(folder: Path, tree: Tree) -> str:
    Dataset.from_dict({"label": [1, 2]}).save_to_disk(folder)
    arrow = next(folder.glob("*.arrow"))
    arrow.write_bytes(arrow.read_bytes()[:60])
    return f"'{folder}' is not whole: Expected to read 256 metadata bytes, but only read 52. Write it again with save_to_disk"


def saved_without_state(folder: Path, tree: Tree) -> str:
    Dataset.from_dict({"label": [1, 2]}).save_to_disk(folder)
    (folder / "state.json").write_text("{}")
    return f"'{folder}' is not whole: '_data_files'. Write it again with save_to_disk"


@pytest.mark.parametrize(
    "prepare",
    [
        no_folders, empty_split, empty_class, mixed, strange_class, strange_file, a_file, nothing, broken_parquet,
        empty_parquet, two_sets, same_columns_other_types, half_saved, saved_without_state,
    ],
)  # fmt: skip
def test_folders_that_cannot_be_used(prepare: Callable[[Path, Tree], str], tmp_path: Path, tree: Tree) -> None:
    message = prepare(tmp_path / "images", tree)
    with pytest.raises(DataError) as problem:
        open_source(Data(source=str(tmp_path / "images")))
    assert str(problem.value) == f"data.source: {message}"


def test_every_source_is_listed_in_its_order_of_asking() -> None:
    assert list(SOURCES) == list(BUILT_IN)


def test_a_missing_file_is_called_one() -> None:
    with pytest.raises(DataError, match=r"there is no file 'nowhere/labels.csv'\. Name local data"):
        open_source(Data(source="nowhere/labels.csv"))


@pytest.mark.parametrize("source", ["", "./x", "~nobody/x", "a/b/c", "no spaces", "x" * 300, "a\0b"])
def test_names_that_are_neither_folder_nor_hub_id(source: str) -> None:
    with pytest.raises(DataError) as problem:
        open_source(Data(source=source))
    assert str(problem.value) == f"data.source: there is no folder '{source}'. {ADVICE}"
