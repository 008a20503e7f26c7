"""A data set ready to train on: three labelled splits of encoded images, one class list, and a record of how it came."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, Image

from zoo.data.labels import absent, check_train, class_indices, class_names
from zoo.data.pixels import Encoded
from zoo.data.source import SPLIT_NAMES, image_column, label_column, open_source
from zoo.data.split import carve, stratified
from zoo.errors import DataError, UnknownName
from zoo.recipe import Data

PROBES = 64
"""Images per split whose bytes enter the fingerprint."""


@dataclass(frozen=True)
class Split:
    """One split: labels int64 (N,), the images still encoded, and the split they were taken from."""

    labels: np.ndarray
    encoded: Encoded
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
    rows = {kind: class_indices(_with(raw[name], label, name), label, classes, name) for kind, name in names.items()}
    parts = {kind: (raw[names[kind]], np.arange(len(labels)), labels, names[kind]) for kind, labels in rows.items()}
    check_train(parts["train"][2], classes)
    for kind, fraction, stream in (("test", data.test_fraction, 1), ("validation", data.validation_fraction, 2)):
        if kind not in parts:
            parts["train"], parts[kind] = _carved(parts["train"], fraction, seed + stream)
    if data.limit is not None:
        parts = {kind: _limited(part, data.limit, seed) for kind, part in parts.items()}
    splits = {kind: _split(*parts[kind], image) for kind in ("train", "validation", "test")}
    warnings = [
        f"the {kind} split has no image of {', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}"
        for kind, split in splits.items()
        if (missing := absent(split.labels, classes))
    ]
    return ImageData(classes, splits, _fingerprint(classes, splits), warnings)


def load_split(data: Data, seed: int, classes: tuple[str, ...], split: str = "test") -> Split:
    """One split of a recipe's data with labels as indices into a model's own `classes`. Raises DataError."""
    loaded = load_data(data, seed)
    if strange := sorted(set(loaded.classes) - set(classes)):
        raise DataError(
            f"data.source: '{data.source}' has {len(loaded.classes)} classes, among them '{strange[0]}', "
            f"which the model's {len(classes)} classes do not include"
        )
    part = loaded.splits[split]
    where = np.asarray([classes.index(name) for name in loaded.classes])
    return Split(where[part.labels], part.encoded, part.origin)


def _assigned(raw: dict[str, Dataset], data: Data) -> dict[str, str]:
    """train, validation, test -> the source's own split names, where there is one."""
    names: dict[str, str] = {}
    for kind, spellings in SPLIT_NAMES.items():
        wanted = getattr(data.splits, kind)
        if wanted is not None and wanted not in raw:
            raise UnknownName(f"split in data.splits.{kind}", wanted, list(raw))
        found = wanted or next((name for s in spellings for name in raw if name.lower() == s), None)
        if found:
            names[kind] = found
    if "train" not in names and len(raw) == 1:
        names = {"train": next(iter(raw))}
    if "train" not in names:
        raise DataError(f"data.splits.train: '{data.source}' has no split called train ({', '.join(raw)}). Name it: data.splits.train=NAME")
    empty = next((name for name in names.values() if len(raw[name]) == 0), None)
    if empty:
        raise DataError(f"data.source: the split '{empty}' of '{data.source}' is empty")
    return names


def _with(split: Dataset, column: str, name: str) -> Dataset:
    if column not in split.features:
        raise DataError(f"the split '{name}' has no column '{column}' (columns: {', '.join(split.column_names)})")
    return split


def _carved(part: tuple, fraction: float, seed: int) -> tuple[tuple, tuple]:
    source, rows, labels, name = part
    kept, carved = carve(labels, fraction, seed)
    origin = f"{name}, stratified {fraction:g}, seed {seed}"
    return (source, rows[kept], labels[kept], name), (source, rows[carved], labels[carved], origin)


def _limited(part: tuple, limit: int, seed: int) -> tuple:
    source, rows, labels, name = part
    try:
        kept = stratified(labels, limit, seed)
    except DataError as error:
        raise DataError(f"data.limit: {error}") from None
    return source, rows[kept], labels[kept], name if len(kept) == len(rows) else f"{name}, first stratified {limit}"


def _split(source: Dataset, rows: np.ndarray, labels: np.ndarray, origin: str, image: str) -> Split:
    if image not in source.features:
        raise DataError(f"the split '{origin}' has no column '{image}' (columns: {', '.join(source.column_names)})")
    images = source.select_columns([image])
    if isinstance(images.features[image], Image):
        images = images.cast_column(image, Image(decode=False))

    def read(indices: Any) -> list[Any]:
        return images[rows[np.asarray(indices, dtype=np.int64)]][image]

    def name(index: int) -> str:
        path = (read([index])[0] or {}).get("path")
        return str(path) if path and Path(path).exists() else f"row {rows[index]} of '{origin.split(',')[0]}'"

    return Split(labels, Encoded(len(labels), read, name), origin)


def _fingerprint(classes: tuple[str, ...], splits: dict[str, Split]) -> str:
    """sha256 over classes, labels, and the bytes of a sample of images."""
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
