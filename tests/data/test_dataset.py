"""From a source to three labelled splits, one class list, warnings and a fingerprint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value
from PIL import Image as Pillow

from zoo.config.recipe import Data, Splits
from zoo.data.dataset import ImageData, load_data, load_foreign, load_split
from zoo.data.decoding import decode
from zoo.errors import DataError, UnknownName

Tree = Callable[..., Path]
PETS = ClassLabel(names=["cat", "dog"])


@pytest.fixture
def saved(tmp_path: Path, picture: Callable[..., Pillow.Image]) -> Callable[..., Path]:
    """saved(train=[0, 1], kind=PETS): a `save_to_disk` folder whose splits have these labels."""

    def make(kind: Any = PETS, **splits: list[Any]) -> Path:
        features = Features({"image": Image(), "label": kind})
        rows = {n: {"image": [picture(i) for i in range(len(v))], "label": v} for n, v in splits.items()}
        parts = DatasetDict({n: Dataset.from_dict(r, features=features) for n, r in rows.items()})
        parts.save_to_disk(tmp_path / "s", num_shards=dict.fromkeys(splits, 1))
        return tmp_path / "s"

    return make


def load(source: Path, seed: int = 0, **keys: Any) -> ImageData:
    return load_data(Data(source=str(source), **keys), seed)


def origins(data: ImageData) -> dict[str, tuple[int, str]]:
    return {name: (len(split), split.origin) for name, split in data.splits.items()}


VALIDATION, TEST = "train, stratified 0.1, seed 2", "train, stratified 0.1, seed 1"


@pytest.mark.parametrize(
    ("counts", "keys", "found"),
    [
        ({"cat": 20, "dog": 20}, {}, {"train": (32, "train"), "validation": (4, VALIDATION), "test": (4, TEST)}),
        (
            {"train/cat": 9, "train/dog": 9, "val/cat": 2, "val/dog": 2, "test/cat": 1, "test/dog": 1}, {},
            {"train": (18, "train"), "validation": (4, "val"), "test": (2, "test")},
        ),
        (
            {"train/cat": 9, "train/dog": 9, "test/cat": 1, "test/dog": 1}, {"validation_fraction": 0.5},
            {"train": (9, "train"), "validation": (9, "train, stratified 0.5, seed 2"), "test": (2, "test")},
        ),
        (
            {"train/cat": 9, "train/dog": 9, "val/cat": 2, "val/dog": 2}, {"splits": Splits(test="val")},
            {"train": (16, "train"), "validation": (2, VALIDATION), "test": (4, "val")},
        ),
        ({"test/cat": 3, "test/dog": 3}, {}, {
            "train": (2, "test"), "validation": (2, "test" + VALIDATION[5:]), "test": (2, "test" + TEST[5:]),
        }),
        (
            {"cat": 20, "dog": 20}, {"limit": 4},
            {"train": (4, "train, limited to 4"), "validation": (4, VALIDATION), "test": (4, TEST)},
        ),
        (
            {"cat": 20, "dog": 20}, {"limit": 3},
            {
                "train": (3, "train, limited to 3"), "validation": (3, f"{VALIDATION}, limited to 3"),
                "test": (3, f"{TEST}, limited to 3"),
            },
        ),
    ],
)  # fmt: skip
def test_splits_are_found_or_carved(counts: dict[str, int], keys: dict, found: dict, tree: Tree) -> None:
    data = load(tree(counts), **keys)
    assert data.classes == ("cat", "dog")
    assert data.warnings == []
    assert origins(data) == found
    names = [{split.encoded.name(i) for i in range(len(split))} for split in data.splits.values()]
    assert sum(map(len, names)) == len(set.union(*names)) == sum(count for count, _ in found.values())
    for split in data.splits.values():
        assert split.targets.dtype == np.int64
        for i, record in enumerate(split.encoded.read(range(len(split)))):
            assert record["path"] == split.encoded.name(i)
            assert data.classes[split.targets[i]] in Path(record["path"]).parts
    assert data.record() == {
        "fingerprint": data.fingerprint,
        "classes": 2,
        "splits": {name: {"images": count, "from": origin} for name, (count, origin) in found.items()},
    }


def test_carving_follows_the_seed_and_the_fingerprint_follows_the_data(tree: Tree) -> None:
    folder = tree({"cat": 20, "dog": 20})
    first, again, other = (load(folder, seed).splits["test"].encoded for seed in (0, 0, 1))
    names = [[encoded.name(i) for i in range(encoded.count)] for encoded in (first, again, other)]
    assert names[0] == names[1] != names[2]
    prints = [load(folder).fingerprint, load(folder).fingerprint, load(folder, limit=8).fingerprint]
    (folder / "cat/0.png").write_bytes(b"changed")
    prints.append(load(folder).fingerprint)
    folder.joinpath("cat").rename(folder / "bat")
    prints.append(load(folder).fingerprint)
    assert prints[0] == prints[1]
    assert len(set(prints)) == 4


@pytest.mark.parametrize(
    ("kind", "labels", "classes"),
    [(PETS, [0, 1], ("cat", "dog")), (Value("string"), ["b", "a"], ("a", "b")), (Value("int64"), [7, 10], ("7", "10"))],
)
def test_labels_of_every_type(kind: Any, labels: list, classes: tuple, saved: Callable[..., Path]) -> None:
    data = load(saved(kind, train=labels * 5, validation=labels, test=labels[::-1]))
    assert data.classes == classes
    expected = [classes.index(str(v)) if kind is not PETS else v for v in labels]
    assert data.splits["validation"].targets.tolist() == expected
    assert data.splits["test"].targets.tolist() == expected[::-1]
    assert data.splits["test"].encoded.name(1) == "row 1 of the split 'test'"


def test_images_as_records_bytes_and_paths(tmp_path: Path, picture: Callable[..., Pillow.Image]) -> None:
    """What other programs write to parquet: no word of images in the metadata."""
    pictures = [picture(i) for i in range(6)]
    for i, image in enumerate(pictures):
        image.save(tmp_path / f"{i}.png")
    files = [str(tmp_path / f"{i}.png") for i in range(6)]
    raw = [Path(file).read_bytes() for file in files]
    columns = {"record": [{"bytes": b, "path": "x.png"} for b in raw], "raw": raw, "file": files}
    (tmp_path / "set").mkdir()
    table = pa.table(columns | {"label": [0, 1] * 3})
    pyarrow.parquet.write_table(table, tmp_path / "set" / "train.parquet")
    for column, named in ((None, False), ("record", False), ("raw", False), ("file", True)):
        train = load(tmp_path / "set", image_column=column, label_column="label").splits["train"]
        for i, record in enumerate(train.encoded.read(range(2))):
            row = next(k for k, image in enumerate(pictures) if image == decode(record).pixels)
            assert row % 2 == train.targets[i]
            assert train.encoded.name(i) == (files[row] if named else f"row {row} of the split 'train'")


def test_missing_classes_outside_train_are_a_warning(saved: Callable[..., Path]) -> None:
    letters = ClassLabel(names=list("abcdefgh"))
    data = load(saved(letters, train=list(range(8)) * 2, validation=[0] * 3, test=[0, 1, 2, 3, 4, 5, 6]))
    assert data.warnings == [
        "the validation split has no image of b, c, d, e, f ...",
        "the test split has no image of h",
    ]


def test_a_data_set_smaller_than_a_batch_is_a_data_set(tree: Tree) -> None:
    assert {n: len(s) for n, s in load(tree({"cat": 3, "dog": 3}), batch_size=512).splits.items()} == {
        "train": 2, "validation": 2, "test": 2,
    }  # fmt: skip


def test_a_split_that_nobody_labelled_is_taken_from_train(saved: Callable[..., Path]) -> None:
    data = load(saved(train=[0, 1] * 10, validation=[0, 1], test=[-1, -1, None]))
    assert data.warnings == ["the split 'test' has no labels; test images are taken from train"]
    assert origins(data)["test"] == (2, TEST) and len(data.splits["train"]) == 18


FAULTS = [
    (
        {"train": [0] * 9 + [1, 1]}, {}, DataError,
        "the class 'dog' needs at least 3 training images and has 2, as train also gives test and validation. "
        "Add images, or name splits: data.splits.test=NAME data.splits.validation=NAME",
    ),
    (
        {"train": [0, 0, 1], "test": [0]}, {}, DataError,
        "the class 'dog' needs at least 2 training images and has 1, as train also gives validation. "
        "Add images, or name splits: data.splits.validation=NAME",
    ),
    (
        {"train": [0, 0, 0]}, {}, DataError,
        "a classifier needs at least two classes, the training split has 'cat'. "
        "Add images of another, or name the right column: data.label_column=NAME",
    ),
    (
        {"train": [0, 1, 0, 1], "valid": [0], "test": [-1, -1]}, {"splits": Splits(test="test")}, DataError,
        "the split 'test' has no labels. Name another: data.splits.test=NAME",
    ),
    (
        {"train": [0, 1, 0, 1], "valid": [], "test": [0]}, {}, DataError,
        "data.source: the split 'valid' of 'SOURCE' is empty. Name another: data.splits.validation=NAME",
    ),
    (
        {"fit": [0, 1], "judge": [0, 1]}, {}, DataError,
        "data.splits.train: 'SOURCE' has no split called train (fit, judge). Name it: data.splits.train=NAME",
    ),
    (
        {"train": [0, 1], "judge": [0, 1]}, {"splits": Splits(test="jugde")}, UnknownName,
        "unknown split in data.splits.test 'jugde'. Did you mean 'judge'?",
    ),
    (
        {"train": [0, 1, 0, 1], "val": [0], "test": [0]}, {"limit": 1}, DataError,
        "data.limit: 1 images cannot hold all 2 classes. Take at least data.limit=2",
    ),
    (
        {"train": [0, 1, 0, 1]}, {"label_column": "lable"}, UnknownName,
        "unknown column in data.label_column 'lable'. Did you mean 'label'?",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("splits", "keys", "kind", "message"), FAULTS)
def test_data_that_cannot_be_trained_on(
    splits: dict, keys: dict, kind: type[Exception], message: str, saved: Callable[..., Path]
) -> None:
    source = saved(**splits)
    with pytest.raises(kind) as problem:
        load(source, **keys)
    assert str(problem.value) == message.replace("SOURCE", str(source))


def test_a_split_with_other_columns(tmp_path: Path, picture: Callable[..., Pillow.Image]) -> None:
    features = Features({"image": Image(), "label": PETS})
    train = Dataset.from_dict({"image": [picture(i) for i in range(4)], "label": [0, 1] * 2}, features=features)
    DatasetDict(train=train, test=train.remove_columns("label")).save_to_disk(tmp_path / "s")
    with pytest.raises(DataError) as problem:
        load(tmp_path / "s")
    assert str(problem.value) == (
        "the split 'test' has no column 'label' (columns: image). "
        "Rename its columns, or name another split: data.splits.test=NAME"
    )


def test_load_split_speaks_the_models_classes(tree: Tree) -> None:
    data = Data(source=str(tree({"train/cat": 3, "train/emu": 3, "test/cat": 1, "test/emu": 2})))
    part = load_split(data, 0, ("emu", "dog", "cat"))
    assert (part.targets.tolist(), part.origin) == ([2, 0, 0], "test")
    assert len(load_split(data, 0, ("emu", "dog", "cat"), "validation")) == 2
    with pytest.raises(DataError) as problem:
        load_split(data, 0, ("cat", "dog", "ewe"))
    assert str(problem.value) == (
        f"data.source: '{data.source}' has the class 'emu', which the model's 3 classes do not include. "
        "Evaluate on data of the model's own classes"
    )


@pytest.mark.parametrize(
    ("counts", "keys", "labels", "origin"),
    [
        ({"cat": 3, "emu": 1}, {}, [2, 2, 2, 0], "train, the only split"),
        ({"emu": 2}, {}, [0, 0], "train, the only split"),
        ({"test/emu": 1, "test/cat": 2}, {}, [2, 2, 0], "test, the only split"),
        ({"val/cat": 1}, {}, [2], "val, the only split"),
        ({"train/cat": 2, "train/owl": 2, "testing/cat": 1}, {}, [2], "testing"),
        ({"train/cat": 2, "train/emu": 2, "val/cat": 1}, {"splits": Splits(test="train")}, [2, 2, 0, 0], "train"),
        ({"cat": 3, "emu": 3}, {"limit": 2}, [2, 0], "train, the only split, limited to 2"),
    ],
)
def test_foreign_data_are_used_whole(counts: dict, keys: dict, labels: list, origin: str, tree: Tree) -> None:
    part = load_foreign(Data(source=str(tree(counts)), **keys), 0, ("emu", "dog", "cat"))
    assert (part.targets.tolist(), part.origin) == (labels, origin)
    assert part.targets.dtype == np.int64
    assert len({part.encoded.name(i) for i in range(len(part))}) == len(part) == part.encoded.count


@pytest.mark.parametrize(
    ("splits", "keys", "kind", "message"),
    [
        (
            {"train": [0, 1], "val": [0]}, {}, DataError,
            "data.source: 'SOURCE' has no test split (train, val). Name one: data.splits.test=train",
        ),
        (
            {"train": [0, 1], "test": []}, {}, DataError,
            "data.source: the split 'test' of 'SOURCE' is empty. Name another: data.splits.test=NAME",
        ),
        (
            {"train": [0, 1]}, {"splits": Splits(test="tset")}, UnknownName,
            "unknown split in data.splits.test 'tset'. There are: train.",
        ),
        (
            {"train": [-1, -1]}, {}, DataError,
            "the split 'train' has no labels. Name another: data.splits.test=NAME",
        ),
        (
            {"train": [0, 1, 1]}, {"limit": 1}, DataError,
            "data.limit: 1 images cannot hold all 2 classes. Take at least data.limit=2",
        ),
    ],
)  # fmt: skip
def test_foreign_data_that_cannot_be_used(
    splits: dict, keys: dict, kind: type[Exception], message: str, saved: Callable[..., Path]
) -> None:
    source = saved(**splits)
    with pytest.raises(kind) as problem:
        load_foreign(Data(source=str(source), **keys), 0, ("cat", "dog"))
    assert str(problem.value) == message.replace("SOURCE", str(source))


def test_only_the_classes_that_foreign_data_use_must_be_the_models(saved: Callable[..., Path]) -> None:
    letters = ClassLabel(names=list("abc"))
    data = Data(source=str(saved(letters, train=[0, 2, 2])))
    assert load_foreign(data, 0, ("c", "a")).targets.tolist() == [1, 0, 0]
    text = Data(source=str(saved(Value("string"), train=["b", "a"])))
    assert load_foreign(text, 0, ("a", "b")).targets.tolist() == [1, 0]
