"""A data set ready to train on: three splits of encoded images with their targets, one class list, how it came."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, Image

from zoo.config.recipe import Data
from zoo.data.columns import groups, image_column, label_columns, weights
from zoo.data.group_split import check_groups, shared_groups, split_off_groups
from zoo.data.image_store import EncodedImages
from zoo.data.sources import open_pictures, open_source
from zoo.data.sources.naming import SPLIT_NAMES
from zoo.data.split import limited, split_off
from zoo.errors import DataError, UnknownName
from zoo.tasks.targets import Labels, choose_task
from zoo.tasks.task import Task
from zoo.tasks.unlabelled import Unlabelled

PROBES = 64
"""Images per split that enter the fingerprint."""
CARVE_SEEDS = {"test": 1, "validation": 2}


@dataclass(frozen=True)
class Split:
    """One split: targets as the task encodes them, int64 (N,) or float32 (N, K), the images still encoded, its origin.

    weights: importance of each image's loss, float32 (N,) with a mean of 1; None where all count alike.
    """

    targets: np.ndarray
    encoded: EncodedImages
    origin: str
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class ImageData:
    """Splits `train`, `validation` and `test` of a task, the class names, a fingerprint, and warnings."""

    task: Task
    classes: tuple[str, ...]
    splits: dict[str, Split]
    fingerprint: str
    warnings: list[str] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """What `environment.json` says of the data."""
        splits = {name: {"images": len(s), "from": s.origin} for name, s in self.splits.items()}
        return {"fingerprint": self.fingerprint, "classes": len(self.classes), "splits": splits}


def load_data(data: Data, seed: int, task: str = "auto") -> ImageData:
    """The three splits of a recipe. Missing ones are taken from train, stratified, seeded, and by whole groups.

    task: the recipe's. Raises DataError.
    """
    raw = open_source(data)
    names = _assigned(raw, data)
    train = raw[names["train"]]
    image, labels = image_column(train, data.image_column), _labels(train, data)
    asked = choose_task(task, train, labels)
    classes = asked.classes(train, labels)
    blank = [
        k
        for k, name in names.items()
        if k != "train" and not getattr(data.splits, k) and asked.unlabelled(raw[name], labels)
    ]
    parts = {k: _rows(raw[name], name, k, image, labels, asked, classes) for k, name in names.items() if k not in blank}
    parts = {k: _with_roles(part, raw[names[k]], k, data) for k, part in parts.items()}
    missing = [kind for kind in ("test", "validation") if kind not in parts]
    warnings = [f"the split '{names[k]}' has no labels; {k} images are taken from train" for k in blank]
    if parts["train"].groups is not None:
        check_groups(parts["train"].groups, missing, names["train"])
        warnings += shared_groups({k: part.groups for k, part in parts.items() if part.groups is not None})
    warnings += asked.check_train(parts["train"].targets, classes, missing)
    parts |= _taken_from_train(parts["train"], missing, asked, data, seed)
    if data.limit is not None:
        parts = {kind: _limited(part, asked, data.limit, seed) for kind, part in parts.items()}
    splits = {kind: parts[kind].finished() for kind in ("train", "validation", "test")}
    warnings += [
        f"the {kind} split has no image of {', '.join(absent[:5])}{' ...' if len(absent) > 5 else ''}"
        for kind, split in splits.items()
        if (absent := _absent(split, asked, classes))
    ]
    return ImageData(asked, classes, splits, _fingerprint(classes, splits), warnings)


def load_unlabelled(data: Data, seed: int) -> ImageData:
    """Splits `train` and `validation` of images whose labels, if they have any, are not read. Raises DataError.

    A missing validation split is taken from train, seeded, and by whole groups. A folder of images needs no classes.
    """
    raw, task = open_pictures(data), Unlabelled()
    names = {kind: name for kind, name in _assigned(raw, data).items() if kind != "test"}
    image = image_column(raw[names["train"]], data.image_column)
    parts = {k: _rows(raw[name], name, k, image, Labels(()), task, ()) for k, name in names.items()}
    parts = {k: _with_roles(part, raw[names[k]], k, data) for k, part in parts.items()}
    missing = [kind for kind in ("validation",) if kind not in parts]
    if parts["train"].groups is not None:
        check_groups(parts["train"].groups, missing, names["train"])
    warnings = task.check_train(parts["train"].targets, (), missing)
    parts |= _taken_from_train(parts["train"], missing, task, data, seed, how="drawn")
    if data.limit is not None:
        parts = {kind: _limited(part, task, data.limit, seed) for kind, part in parts.items()}
    splits = {kind: parts[kind].finished() for kind in ("train", "validation")}
    return ImageData(task, (), splits, _fingerprint((), splits), warnings)


def _taken_from_train(
    train: "Rows", missing: Sequence[str], task: Task, data: Data, seed: int, how: str = "stratified"
) -> dict[str, "Rows"]:
    """The splits that the source lacks, taken one after the other from `train`, and what is left of it.

    how: a word for the way in which they are taken. Raises DataError.
    """
    parts = {}
    for done, kind in enumerate(missing):
        fraction, own_seed = getattr(data, f"{kind}_fraction"), seed + CARVE_SEEDS[kind]
        strata, leave, whole = task.strata(train.targets), len(missing) - done, ""
        if train.groups is None:
            kept, taken = split_off(strata, fraction, own_seed, leave)
        else:
            kept, taken = split_off_groups(strata, train.groups, fraction, own_seed, leave)
            whole = f" by whole groups of '{data.group_column}'"
        parts[kind] = train.take(taken, f", {how} {fraction:g}{whole}, seed {own_seed}")
        train = train.take(kept)
    return {**parts, "train": train}


def _labels(split: Dataset, data: Data) -> Labels:
    columns = label_columns(split, data.label_column, {data.image_column, data.weight_column, data.group_column})
    return Labels.of(columns, data.label_delimiter)


def _with_roles(rows: "Rows", split: Dataset, kind: str, data: Data) -> "Rows":
    """The rows with their groups, and those of train with their weights, where the recipe names columns for them."""
    column = data.group_column
    grouped = column is not None and (kind == "train" or column in split.column_names)
    weighted = data.weight_column is not None and kind == "train"
    return replace(
        rows,
        groups=groups(split, column, rows.name) if grouped else None,
        weights=weights(split, data.weight_column, rows.name) if weighted else None,
    )


def _absent(split: Split, task: Task, classes: Sequence[str]) -> list[str]:
    """Classes of which a split has no image."""
    return [name for name, count in zip(classes, task.counts(split.targets, len(classes)), strict=True) if not count]


def load_split(data: Data, seed: int, classes: tuple[str, ...], split: str = "test", task: str = "auto") -> Split:
    """One split of a run's own data with targets for a model's own `classes`. Raises DataError."""
    loaded = load_data(data, seed, task)
    part = loaded.splits[split]
    numbers = _numbers(loaded.classes, loaded.classes, classes, data)
    return replace(part, targets=loaded.task.renumber(part.targets, numbers, len(classes)))


def load_foreign(data: Data, seed: int, classes: tuple[str, ...], split: str = "test", task: str = "auto") -> Split:
    """The same of data that the model never saw: nothing is taken from train, and where it has no splits it serves whole.

    Some of the model's classes are enough. Raises DataError.
    """
    raw = open_source(data)
    name = _foreign_split(raw, data, split)
    images = raw[name]
    image, labels = image_column(images, data.image_column), _labels(images, data)
    asked = choose_task(task, images, labels)
    own = asked.own_classes(images, labels)
    rows = _rows(images, name, split, image, labels, asked, own)
    rows = replace(rows, how=", the only split") if len(raw) == 1 else rows
    rows = rows if data.limit is None else _limited(rows, asked, data.limit, seed)
    used = [label for label, count in zip(own, asked.counts(rows.targets, len(own)), strict=True) if count]
    targets = asked.renumber(rows.targets, _numbers(own, used, classes, data), len(classes))
    return replace(rows.finished(), targets=targets)


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


def _numbers(own: Sequence[str], used: Sequence[str], classes: tuple[str, ...], data: Data) -> np.ndarray:
    """Where each of a data set's own classes stands in a model's, int64, -1 for none.

    Raises DataError for a used one that the model does not have.
    """
    if strange := sorted(set(used) - set(classes)):
        more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
        raise DataError(
            f"data.source: '{data.source}' has the class '{strange[0]}'{more}, "
            f"which the model's {len(classes)} classes do not include. Evaluate on data of the model's own classes"
        )
    where = {name: k for k, name in enumerate(classes)}
    return np.asarray([where.get(name, -1) for name in own], dtype=np.int64)


@dataclass(frozen=True)
class Rows:
    """Some rows of the source's split `name`: their targets, int64 row numbers (N,), and how they were taken.

    groups: text (N,); weights: float64 (N,); None where the recipe names no column for them.
    """

    images: Dataset
    column: str
    name: str
    targets: np.ndarray
    numbers: np.ndarray
    how: str = ""
    groups: np.ndarray | None = None
    weights: np.ndarray | None = None

    def take(self, at: np.ndarray, how: str = "") -> "Rows":
        """The rows at these places only. at: int64 (M,)."""
        return replace(
            self,
            targets=self.targets[at],
            numbers=self.numbers[at],
            how=self.how + how,
            groups=None if self.groups is None else self.groups[at],
            weights=None if self.weights is None else self.weights[at],
        )

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
        """As a Split that worker processes can be given. Raises DataError where all weights are 0."""
        encoded = EncodedImages(len(self.targets), self.read, self.called)
        return Split(self.targets, encoded, self.name + self.how, self._scaled_weights())

    def _scaled_weights(self) -> np.ndarray | None:
        """float32 (N,) with a mean of 1, so that the learning rate means what it does without weights."""
        if self.weights is None:
            return None
        if not self.weights.any():
            raise DataError(
                f"data.weight_column: all {len(self.weights)} training images of the split '{self.name}' have the weight 0. "
                f"Name another column: data.weight_column=NAME"
            )
        return (self.weights / self.weights.mean()).astype(np.float32)


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


def _rows(
    split: Dataset, name: str, kind: str, image: str, labels: Labels, task: Task, classes: tuple[str, ...]
) -> Rows:
    for column in (image, *labels.columns):
        if column not in split.features:
            raise DataError(
                f"the split '{name}' has no column '{column}' (columns: {', '.join(split.column_names)}). "
                f"Rename its columns, or name another split: data.splits.{kind}=NAME"
            )
    targets = task.encode(split, labels, classes, name, kind)
    images = split.select_columns([image]).cast_column(image, Image(decode=False))
    return Rows(images, image, name, targets, np.arange(len(targets)))


def _limited(rows: Rows, task: Task, limit: int, seed: int) -> Rows:
    if limit >= len(rows.targets):
        return rows
    strata = task.strata(rows.targets)
    if strata.ndim == 1 and limit < (classes := len(np.unique(strata))):
        raise DataError(
            f"data.limit: {limit} images cannot hold all {classes} classes. Take at least data.limit={classes}"
        )
    return rows.take(limited(strata, limit, seed), f", limited to {limit}")


def _fingerprint(classes: tuple[str, ...], splits: dict[str, Split]) -> str:
    """sha256 over classes, targets, and a sample of images: their bytes, or the names and sizes of their files."""
    digest = hashlib.sha256("\0".join(classes).encode("utf-8", "surrogateescape"))
    for split in splits.values():
        digest.update(split.targets.tobytes())
        if split.weights is not None:
            digest.update(split.weights.tobytes())
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
