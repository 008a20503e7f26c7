"""What a sample of pictures tells: sizes, kinds, oddities, twins, speed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.config.recipe import Data
from zoo.data import audit
from zoo.data.audit import ImageInfo, duplicates, kinds, look_at, sizes, speed
from zoo.data.dataset import ImageData, Split, load_data
from zoo.data.decoding import Header
from zoo.data.image_store import EncodedImages, EvalTransform
from zoo.tasks.task import find_task

NAMES = ("cat", "owl")


def data_of(folder: Path) -> ImageData:
    return load_data(Data(source=str(folder)), 0)


def test_every_oddity_is_named(tree: Callable[..., Path], picture: Callable[..., Image.Image]) -> None:
    folder = tree({"train/cat": 9, "train/owl": 2, "test/cat": 1, "test/owl": 1, "val/cat": 1, "val/owl": 1})
    cat = folder / "train" / "cat"
    (cat / "0.png").write_bytes(b"")
    (cat / "1.png").write_bytes(b"words")
    Image.new("RGB", (30, 20), "red").save(cat / "2.png")
    picture(90, 340, 20).save(cat / "3.png")
    picture(91).save(cat / "4.png", save_all=True, append_images=[picture(92)])
    picture(93).save(cat / "5.png", "JPEG")
    picture(94).save(cat / "6.png", "MPO", save_all=True, append_images=[picture(95)])
    told: list[int] = []
    looks = look_at(data_of(folder), EvalTransform(16), told.append)
    assert len(looks) == sum(told) == 15
    found = {look.name: (look.fault, look.oddity) for look in looks}
    expected = {
        "0.png": ("the file is empty", ""),
        "1.png": ("not an image that can be read", ""),
        "2.png": ("", "one colour all over"),
        "3.png": ("", "340 x 20 px, of which only the middle is taken"),
        "4.png": ("", "2 pictures in one file, of which the first is taken"),
        "5.png": ("", "named as PNG, but JPEG inside"),
        "6.png": ("", "named as PNG, but MPO inside"),
        "7.png": ("", ""),
    }
    assert {name: found[str(cat / name)] for name in expected} == expected
    assert kinds(looks) == {"PNG RGB": 11, "JPEG RGB": 1, "MPO RGB": 1}
    assert sizes(looks) == {"median": [9, 8], "smallest": [9, 8], "largest": [340, 20]}


def test_twins_are_told_across_splits_and_classes_only() -> None:
    header = Header("PNG", "RGB", (1, 1), 1)
    looks = [
        ImageInfo("train", 0, (0,), "a", header, b"1"),
        ImageInfo("train", 1, (0,), "b", header, b"1"),
        ImageInfo("train", 2, (1,), "c", header, b"1"),
        ImageInfo("test", 0, (0,), "d", header, b"1"),
        ImageInfo("test", 1, (0,), "e", header, b"2"),
        ImageInfo("test", 2, (0,), "f", fault="the file is empty"),
        ImageInfo("test", 3, (1,), "g", fault="the file is empty"),
    ]
    assert duplicates(looks, NAMES) == {"c": "the same as a (train, cat)", "d": "the same as a (train, cat)"}


def grey(indices: list[int]) -> list[dict]:
    """Image i as bytes; every tenth is broken."""
    return [
        {"bytes": b"" if i % 10 == 0 else b"P5 2 2 255\n" + bytes([i % 256, 0, 0, 0]), "path": None} for i in indices
    ]


def test_large_sets_are_sampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "SAMPLE", 50)
    splits = {name: Split(np.zeros(n, dtype=np.int64), EncodedImages(n, grey, str), "x") for name, n in
              (("train", 800), ("validation", 2), ("test", 198))}  # fmt: skip
    looks = look_at(ImageData(find_task("multiclass"), NAMES, splits, ""), EvalTransform(8, 1.0, 1), lambda done: None)
    counts = {name: [look.index for look in looks if look.split == name] for name in splits}
    assert {name: len(at) for name, at in counts.items()} == {"train": 40, "validation": 1, "test": 9}
    assert (counts["train"][0], counts["train"][-1]) == (0, 799)
    assert max(np.diff(counts["train"])) <= 21


def test_speed_is_of_what_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "TIMED_S", 0.01)
    split = Split(np.zeros(30, dtype=np.int64), EncodedImages(30, grey, str), "x")
    looks = look_at(
        ImageData(find_task("multiclass"), NAMES, {"train": split}, ""), EvalTransform(8, 1.0, 1), lambda done: None
    )
    assert sum(bool(look.fault) for look in looks) == 3
    assert speed(split, looks, EvalTransform(8, 1.0, 1), 3) > 0
    assert speed(split, [look for look in looks if look.fault], EvalTransform(8, 1.0, 1), 2) == 0
