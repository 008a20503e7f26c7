"""The images that everyone reads: class folders of small pictures, from a copy of CIFAR-10 or the zoo's own sample."""

from pathlib import Path

import pyarrow.parquet as parquet
from setting import Setting

import zoo

CIFAR10 = Path(__file__).resolve().parents[3] / "shared" / "data" / "cifar10"
SAMPLE = Path(zoo.__file__).parent / "samples" / "fashion-mnist"
CLASSES = 10


def pictures(setting: Setting, count: int) -> Path:
    """A folder with `train` (count images), `validation` and `test`, a folder per class; the classes take turns.

    They come from `setting.source`, parquet files of a labelled set of 10 classes, again where it has fewer.
    """
    folder = setting.folder / f"images-{count}"
    if folder.is_dir():
        return folder
    by_class = _by_class(setting.source or (CIFAR10 if CIFAR10.is_dir() else SAMPLE))
    for split, images in (("train", count), ("validation", held_out(count)), ("test", CLASSES)):
        for number in range(images):
            own = by_class[number % CLASSES]
            place = folder / split / f"class{number % CLASSES}"
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number:06d}.png").write_bytes(own[number // CLASSES % len(own)])
    return folder


def held_out(count: int) -> int:
    """Validation images beside a training set of `count`: a tenth, and one of each class."""
    return max(CLASSES, count // 10)


def _by_class(source: Path) -> list[list[bytes]]:
    """The encoded images of each class of the training split."""
    table = parquet.read_table(next(source.rglob("train*.parquet")))
    image = next(name for name in table.column_names if name != "label")
    found: list[list[bytes]] = [[] for _ in range(CLASSES)]
    for record, label in zip(table[image].to_pylist(), table["label"].to_pylist(), strict=True):
        found[label].append(record["bytes"])
    return found
