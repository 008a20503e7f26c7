"""A multi-label data set made of the sample: 2 x 2 mosaics of Fashion-MNIST, labelled with what they show."""

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet
from datasets import ClassLabel, Dataset, Features, Image, List, Value
from PIL import Image as Pillow

from zoo.data.sources.sample import SAMPLES

NAMES = ("Shirt", "Trouser", "Bag", "Boot")
NUMBERS = (6, 1, 8, 9)
"""What the four classes are called here, and their numbers in Fashion-MNIST."""


def mosaics(count: int = 96, seed: int = 0) -> list[tuple[Pillow.Image, list[int]]]:
    """(56 x 56 picture, sorted labels): each quarter shows a class or, one time in three, nothing."""
    table = pyarrow.parquet.read_table(SAMPLES / "fashion-mnist" / "test-00000-of-00001.parquet").to_pylist()
    rows = {k: [row["image"]["bytes"] for row in table if row["label"] == number] for k, number in enumerate(NUMBERS)}
    rng, made = np.random.default_rng(seed), []
    for _ in range(count):
        whole, shown = np.zeros((56, 56), np.uint8), set()
        for quarter in range(4):
            if (k := int(rng.integers(-2, len(NAMES)))) < 0:
                continue
            shown.add(k)
            top, left = 28 * (quarter // 2), 28 * (quarter % 2)
            picture = Pillow.open(io.BytesIO(rows[k][rng.integers(len(rows[k]))]))
            whole[top : top + 28, left : left + 28] = np.asarray(picture.convert("L"))
        made.append((Pillow.fromarray(whole), sorted(shown)))
    return made


def parquet(folder: Path, pictures: list[tuple[Pillow.Image, list[int]]]) -> Path:
    """The mosaics as a folder of one parquet file with a column of class-label lists."""
    folder.mkdir(parents=True)
    features = Features({"image": Image(), "shows": List(ClassLabel(names=list(NAMES)))})
    rows = {"image": [p for p, _ in pictures], "shows": [labels for _, labels in pictures]}
    Dataset.from_dict(rows, features=features).to_parquet(folder / "train.parquet")
    return folder


def flags(
    folder: Path, pictures: list[tuple[Pillow.Image, list[int]]], unknown: dict[tuple[int, int], int | None]
) -> Path:
    """The same with one column of 1, 0 and -1 or nothing for each label. unknown: (row, label) -> its cell."""
    folder.mkdir(parents=True)
    columns = {
        name: [unknown.get((i, k), int(k in labels)) for i, (_, labels) in enumerate(pictures)]
        for k, name in enumerate(NAMES)
    }
    features = Features({"image": Image(), **{name: Value("int64") for name in NAMES}})
    Dataset.from_dict({"image": [p for p, _ in pictures], **columns}, features=features).to_parquet(
        folder / "train.parquet"
    )
    return folder
