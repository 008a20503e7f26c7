"""Where images come from: any source becomes named splits of `datasets`, images still encoded."""

import re
from collections.abc import Mapping
from pathlib import Path

import datasets
import huggingface_hub.constants
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value

from zoo.errors import DataError, UnknownName
from zoo.hub import hub
from zoo.recipe import Data

SAMPLES = Path(__file__).parents[1] / "samples"
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
SPLIT_NAMES = {"train": ("train", "training"), "validation": ("validation", "valid", "val", "dev"), "test": ("test", "testing")}
ADVICE = (
    "Name local data with data.source=PATH (images in one folder per class, or parquet files), "
    "or run the recipe quickstart, whose data is installed"
)

datasets.disable_progress_bars()


def open_source(data: Data) -> dict[str, Dataset]:
    """Every split of `data.source` by the source's own names. Raises DataError with what to type instead."""
    source = data.source
    if source.startswith("sample:"):
        return _parquet(_sample(source.removeprefix("sample:")))
    path = Path(source).expanduser()
    if path.is_dir():
        return _folder(path)
    if path.exists():
        raise DataError(f"data.source: '{source}' is a file; it takes a folder or a Hub id. {ADVICE}")
    if source.startswith((".", "/", "~")) or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", source):
        raise DataError(f"data.source: there is no folder '{source}'. {ADVICE}")
    return _from_hub(data)


def _sample(name: str) -> Path:
    folder = SAMPLES / name
    if not re.fullmatch(r"[\w-]+", name) or not folder.is_dir():
        raise UnknownName("sample", name, sorted(p.name for p in SAMPLES.iterdir() if p.is_dir()))
    return folder


def _from_hub(data: Data) -> dict[str, Dataset]:
    with hub(data.source, ADVICE, DataError):
        datasets.config.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE
        try:
            found = datasets.load_dataset(data.source, data.config, revision=data.revision)
        except (datasets.exceptions.DatasetNotFoundError, FileNotFoundError, ValueError) as error:
            raise DataError(f"data.source: '{data.source}': {str(error).splitlines()[0]}. {ADVICE}") from error
    return dict(found) if isinstance(found, DatasetDict) else {"train": found}


def _folder(path: Path) -> dict[str, Dataset]:
    if (path / "dataset_dict.json").is_file() or (path / "dataset_info.json").is_file():
        found = datasets.load_from_disk(str(path))
        return dict(found) if isinstance(found, DatasetDict) else {"train": found}
    if any(path.rglob("*.parquet")):
        return _parquet(path)
    return _images(path)


def _parquet(path: Path) -> dict[str, Dataset]:
    """Parquet files named as on the Hub: `train-00000-of-00001.parquet`, `test/0000.parquet`, `data/validation-*.parquet`."""
    files: dict[str, list[str]] = {}
    for file in sorted(path.rglob("*.parquet")):
        words = [file.stem.split("-")[0], *(p.name for p in file.relative_to(path).parents if p.name)]
        known = next((w for w in words if any(w in names for names in SPLIT_NAMES.values())), None)
        files.setdefault(known or "train", []).append(str(file))
    try:
        return dict(datasets.load_dataset("parquet", data_files=files))
    except (datasets.exceptions.DatasetGenerationError, OSError, ValueError) as error:
        cause = error.__cause__ or error
        raise DataError(f"data.source: the parquet files in '{path}' cannot be read: {str(cause).splitlines()[0]}") from error


def _images(path: Path) -> dict[str, Dataset]:
    """An image folder: one folder per class, below `train`, `val` and `test` or directly."""
    children = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not children:
        raise DataError(f"data.source: '{path}' holds no class folders and no parquet files. {ADVICE}")
    known = {name for names in SPLIT_NAMES.values() for name in names}
    splits = {p.name: p for p in children if p.name.lower() in known}
    if splits and len(splits) < len(children):
        other = next(p.name for p in children if p.name not in splits)
        raise DataError(f"data.source: '{path}' mixes splits ({', '.join(splits)}) with other folders ('{other}'). Move one of them away")
    listed = {name: _classes(folder) for name, folder in (splits or {"train": path}).items()}
    return {name: _labelled(classes) for name, classes in listed.items()}


def _classes(folder: Path) -> dict[str, list[str]]:
    """Class name -> image files. A class without images is an error, not a class less."""
    classes = {
        child.name: sorted(str(f) for f in child.rglob("*") if f.suffix.lower() in IMAGE_SUFFIXES and f.is_file())
        for child in sorted(folder.iterdir())
        if child.is_dir() and not child.name.startswith(".")
    }
    if not classes:
        raise DataError(f"data.source: '{folder}' holds no class folders. {ADVICE}")
    for name, files in classes.items():
        if not files:
            raise DataError(f"data.source: the class folder '{folder / name}' holds no images. Fill it or remove it")
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            raise DataError(f"data.source: the class folder {name!r} in '{folder}' has a name that is not UTF-8. Rename it") from None
    return classes


def _labelled(classes: Mapping[str, list[str]]) -> Dataset:
    pairs = [(file, label) for label, files in enumerate(classes.values()) for file in files]
    features = Features({"image": Image(decode=False), "label": ClassLabel(names=list(classes))})
    rows = {"image": [{"path": file, "bytes": None} for file, _ in pairs], "label": [label for _, label in pairs]}
    return Dataset.from_dict(rows, features=features)


def image_column(split: Dataset, wanted: str | None) -> str:
    """The column of images: named, or the only one of that type. Raises DataError."""
    images = [name for name, kind in split.features.items() if isinstance(kind, Image)] or [
        name for name, kind in split.features.items() if isinstance(kind, dict) and {"bytes", "path"} <= kind.keys()
    ]
    return _choose("image", images, wanted, split)


def label_column(split: Dataset, wanted: str | None) -> str:
    """The column of labels: named, or the only class label, or `label`. Raises DataError."""
    labels = [name for name, kind in split.features.items() if isinstance(kind, ClassLabel)]
    if not labels:
        plain = [n for n, kind in split.features.items() if isinstance(kind, Value) and re.match(r"u?int|(large_)?string|bool", kind.dtype)]
        labels = [n for n in plain if n in ("label", "labels", "class", "target")] or plain
    return _choose("label", labels, wanted, split)


def _choose(kind: str, candidates: list[str], wanted: str | None, split: Dataset) -> str:
    if wanted is not None:
        if wanted not in split.features:
            raise UnknownName(f"column in data.{kind}_column", wanted, split.column_names)
        return wanted
    if len(candidates) != 1:
        found = "none" if not candidates else " and ".join(candidates)
        have = ", ".join(split.column_names)
        raise DataError(f"data.{kind}_column: cannot tell which column holds the {kind}s (found {found}; columns: {have}). Name it: data.{kind}_column=NAME")
    return candidates[0]

