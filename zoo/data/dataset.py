"""A data set ready to train on: three labelled splits of encoded images, one class list, and a record of how it came."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, Image

from zoo.config.recipe import Data
from zoo.data.image_store import EncodedImages
from zoo.data.labels import absent, check_splitting_off, check_train, class_indices, class_names, unlabelled
from zoo.data.source import SPLIT_NAMES, image_column, label_column, open_source
from zoo.data.split import split_off, stratified
from zoo.errors import DataError, UnknownName

PROBES = 64
"""Images per split that enter the fingerprint."""
CARVE_SEEDS = {"test": 1, "validation": 2}


@dataclass(frozen=True)
class Split:
    """One split: labels int64 (N,), the images still encoded, and the split they were taken from."""

    labels: np.ndarray
    encoded: EncodedImages
    origin: str

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ImageData:
    """Splits `train`, `validation` and `test` (where asked for), the class names, warnings, and a fingerprint."""

    classes: tuple[str, ...]
    splits: dict[str, Split]
    fingerprint: str
    warnings: list[str] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """What `environment.json` says of the data."""
        splits = {name: {"images": len(s), "from": s.origin} for name, s in self.splits.items()}
        return {"fingerprint": self.fingerprint, "classes": len(self.classes), "splits": splits}


def load_data(data: Data, seed: int) -> ImageData:
    """The three splits of a recipe. Missing ones are carved from train, stratified and seeded. Raises DataError."""
    raw = open_source(data)
    names = _assigned(raw, data)
    train = raw[names["train"]]
    image, label = image_column(train, data.image_column), label_column(train, data.label_column)
    classes = class_names(train, label)
    blank = [
        k for k, name in names.items() if k != "train" and not getattr(data.splits, k) and unlabelled(raw[name], label)
    ]
    parts = {k: _rows(raw[name], name, k, image, label, classes) for k, name in names.items() if k not in blank}
    check_train(parts["train"].labels, classes)
    missing = [kind for kind in ("test", "validation") if kind not in parts]
    check_splitting_off(parts["train"].labels, classes, missing)
    for done, kind in enumerate(missing):
        fraction, own_seed = getattr(data, f"{kind}_fraction"), seed + CARVE_SEEDS[kind]
        kept, carved = split_off(parts["train"].labels, fraction, own_seed, leave=len(missing) - done)
        parts[kind] = parts["train"].take(carved, f", stratified {fraction:g}, seed {own_seed}")
        parts["train"] = parts["train"].take(kept)
    if data.limit is not None:
        parts = {kind: _limited(part, data.limit, seed) for kind, part in parts.items()}
    splits = {kind: parts[kind].finished() for kind in ("train", "validation", "test")}
    warnings = [f"the split '{names[k]}' has no labels; {k} images are taken from train" for k in blank]
    warnings += [
        f"the {kind} split has no image of {', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}"
        for kind, split in splits.items()
        if (missing := absent(split.labels, classes))
    ]
    return ImageData(classes, splits, _fingerprint(classes, splits), warnings)


def load_split(data: Data, seed: int, classes: tuple[str, ...], split: str = "test") -> Split:
    """One split of a run's own data with labels as indices into a model's own `classes`. Raises DataError."""
    loaded = load_data(data, seed)
    part = loaded.splits[split]
    return replace(part, labels=_matched(loaded.classes, classes, data)[part.labels])


def load_foreign(data: Data, seed: int, classes: tuple[str, ...], split: str = "test") -> Split:
    """The same of data that the model never saw: nothing is carved, and where it has no splits it serves whole.

    Some of the model's classes are enough. Raises DataError.
    """
    raw = open_source(data)
    name = _foreign_split(raw, data, split)
    images = raw[name]
    image, label = image_column(images, data.image_column), label_column(images, data.label_column)
    kind = images.features[label]
    own = tuple(kind.names) if isinstance(kind, ClassLabel) else tuple(sorted({str(v) for v in images[label]}))
    rows = _rows(images, name, split, image, label, own)
    rows = replace(rows, how=", the only split") if len(raw) == 1 else rows
    rows = rows if data.limit is None else _limited(rows, data.limit, seed)
    used, labels = np.unique(rows.labels, return_inverse=True)
    return replace(rows.finished(), labels=_matched([own[k] for k in used], classes, data)[labels])


def _foreign_split(raw: dict[str, Dataset], data: Data, split: str) -> str:
    """The source's own name of a split; the only one there is serves as any."""
    named = _named(raw, data).get(split)
    by_spelling = {name.lower(): name for name in raw}
    found = named or next((by_spelling[s] for s in SPLIT_NAMES[split] if s in by_spelling), None)
    if found is None and len(raw) > 1:
        raise DataError(
            f"data.source: '{data.source}' has no {split} split ({', '.join(raw)}). "
            f"Name one: data.splits.{split}={next(iter(raw))}"
        )
    found = found or next(iter(raw))
    if len(raw[found]) == 0:
        raise _empty(found, split, data)
    return found


def _matched(names: Sequence[str], classes: tuple[str, ...], data: Data) -> np.ndarray:
    """Where each of a data set's class names stands in a model's `classes`, int64. Raises DataError."""
    if strange := sorted(set(names) - set(classes)):
        more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
        raise DataError(
            f"data.source: '{data.source}' has the class '{strange[0]}'{more}, "
            f"which the model's {len(classes)} classes do not include. Evaluate on data of the model's own classes"
        )
    return np.asarray([classes.index(name) for name in names], dtype=np.int64)


@dataclass(frozen=True)
class Rows:
    """Some rows of the source's split `name`: their labels (N,), int64 row numbers (N,), and how they were taken."""

    images: Dataset
    column: str
    name: str
    labels: np.ndarray
    numbers: np.ndarray
    how: str = ""

    def take(self, at: np.ndarray, how: str = "") -> "Rows":
        """The rows at these places only."""
        return replace(self, labels=self.labels[at], numbers=self.numbers[at], how=self.how + how)

    def read(self, indices: Sequence[int]) -> list[Any]:
        """Records `{bytes, path}`, or None."""
        return self.images[self.numbers[np.asarray(indices, dtype=np.int64)]][self.column]

    def called(self, index: int) -> str:
        """The image's file, or its row in the source."""
        record = self.read([index])[0]
        if record and record["path"] and record["bytes"] is None:
            return record["path"]
        return f"row {self.numbers[index]} of the split '{self.name}'"

    def finished(self) -> Split:
        """As a Split that worker processes can be given."""
        return Split(self.labels, EncodedImages(len(self.labels), self.read, self.called), self.name + self.how)


def _assigned(raw: dict[str, Dataset], data: Data) -> dict[str, str]:
    """train, validation, test -> the source's own split names, where there is one; a named split serves once."""
    names = _named(raw, data)
    free = {name.lower(): name for name in raw if name not in names.values()}
    for kind, spellings in SPLIT_NAMES.items():
        if kind not in names and (found := next((s for s in spellings if s in free), None)):
            names[kind] = free[found]
    if "train" not in names and len(raw) == 1 and free:
        names = {"train": next(iter(raw))}
    if "train" not in names:
        raise DataError(
            f"data.splits.train: '{data.source}' has no split called train ({', '.join(raw)}). "
            f"Name it: data.splits.train=NAME"
        )
    for kind, name in names.items():
        if len(raw[name]) == 0:
            raise _empty(name, kind, data)
    return names


def _named(raw: dict[str, Dataset], data: Data) -> dict[str, str]:
    """The splits that the recipe names."""
    names = {kind: name for kind in SPLIT_NAMES if (name := getattr(data.splits, kind)) is not None}
    for kind, name in names.items():
        if name not in raw:
            raise UnknownName(f"split in data.splits.{kind}", name, list(raw))
    return names


def _empty(name: str, kind: str, data: Data) -> DataError:
    return DataError(
        f"data.source: the split '{name}' of '{data.source}' is empty. Name another: data.splits.{kind}=NAME"
    )


def _rows(split: Dataset, name: str, kind: str, image: str, label: str, classes: tuple[str, ...]) -> Rows:
    for column in (image, label):
        if column not in split.features:
            raise DataError(
                f"the split '{name}' has no column '{column}' (columns: {', '.join(split.column_names)}). "
                f"Rename its columns, or name another split: data.splits.{kind}=NAME"
            )
    labels = class_indices(split, label, classes, name, kind)
    images = split.select_columns([image]).cast_column(image, Image(decode=False))
    return Rows(images, image, name, labels, np.arange(len(labels)))


def _limited(rows: Rows, limit: int, seed: int) -> Rows:
    if limit >= len(rows.labels):
        return rows
    if limit < (classes := len(np.unique(rows.labels))):
        raise DataError(
            f"data.limit: {limit} images cannot hold all {classes} classes. Take at least data.limit={classes}"
        )
    return rows.take(stratified(rows.labels, limit, seed), f", limited to {limit}")


def _fingerprint(classes: tuple[str, ...], splits: dict[str, Split]) -> str:
    """sha256 over classes, labels, and a sample of images: their bytes, or the names and sizes of their files."""
    digest = hashlib.sha256("\0".join(classes).encode("utf-8", "surrogateescape"))
    for split in splits.values():
        digest.update(split.labels.tobytes())
        probes = np.unique(np.linspace(0, len(split) - 1, PROBES).astype(int))
        for record in split.encoded.read(probes):
            digest.update(_bytes(record))
    return digest.hexdigest()[:16]


def _bytes(record: Any) -> bytes:
    if record is None:
        return b""
    if record.get("bytes") is not None:
        return record["bytes"]
    path = Path(record["path"])
    return f"{path.name} {path.stat().st_size if path.is_file() else -1}".encode("utf-8", "surrogateescape")
