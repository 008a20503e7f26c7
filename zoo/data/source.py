"""Where images come from: any source becomes named splits of `datasets`, images still encoded."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub.constants
import pyarrow.parquet
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value
from huggingface_hub.errors import LocalEntryNotFoundError

from zoo.config.recipe import Data
from zoo.config.source_ref import SourceRef
from zoo.errors import DataError, PluginError, UnknownName, first_line
from zoo.hub import hub, refusal
from zoo.plugins import calling, find

SAMPLES = Path(__file__).parents[1] / "samples"
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
KNOWN = {name for names in SPLIT_NAMES.values() for name in names}
ADVICE = (
    "Name local data with data.source=PATH (images in one folder per class, or parquet files), "
    "or run the recipe quickstart, whose data is installed"
)

datasets.disable_progress_bars()


def open_source(data: Data) -> dict[str, Dataset]:
    """Every split of `data.source` by the source's own names. Raises DataError with what to type instead."""
    ref = SourceRef.parse(data.source)
    match ref.kind:
        case "sample":
            return _parquet(_sample(ref.place))
        case "plugin":
            return _from_plugin(ref.place, data.options)
        case "hub":
            return _from_hub(ref.place, data)
    if not ref.exists:
        raise DataError(f"data.source: there is no {ref.expected} '{data.source}'. {ADVICE}")
    if not ref.path.is_dir():
        raise DataError(f"data.source: '{data.source}' is a file; it takes a folder or a Hub id. {ADVICE}")
    return _folder(ref.path)


def _sample(name: str) -> Path:
    folder = SAMPLES / name
    if not re.fullmatch(r"[\w-]+", name) or not folder.is_dir():
        raise UnknownName("sample", name, sorted(p.name for p in SAMPLES.iterdir() if p.is_dir()))
    return folder


def _from_plugin(name: str, options: Mapping[str, Any]) -> dict[str, Dataset]:
    plugin = find("source", name)
    factory = plugin.load()
    with calling(plugin, f"data.options: source '{plugin.name}' refuses its options"):
        found = factory(**options)
    splits = dict(found) if isinstance(found, DatasetDict) else {"train": found}
    for split, rows in splits.items():
        if not isinstance(rows, Dataset):
            kind = type(rows).__name__
            raise PluginError(f"{plugin} gives a {kind}, but the contract asks for a datasets.DatasetDict of Datasets")
        for kind in (Image, ClassLabel):
            if not any(isinstance(feature, kind) for feature in rows.features.values()):
                raise PluginError(
                    f"{plugin}: its split '{split}' has no {kind.__name__} column, which the contract asks for "
                    f"(columns: {', '.join(rows.column_names)})"
                )
    if not splits:
        raise PluginError(f"{plugin} gives no splits, but the contract asks for train at least")
    return splits


def _from_hub(place: str, data: Data) -> dict[str, Dataset]:
    advice = f"There is no folder of that name either. {ADVICE}"
    with hub(place, advice, DataError):
        datasets.config.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE
        try:
            found = datasets.load_dataset(place, data.config, revision=data.revision)
        except LocalEntryNotFoundError:
            raise
        except (FileNotFoundError, ValueError, datasets.exceptions.DatasetGenerationError) as error:
            why = (refusal(error) or first_line(error.__cause__ or error)).rstrip(".")
            raise DataError(f"'{place}' cannot be fetched: {why}. {advice}") from error
    return dict(found) if isinstance(found, DatasetDict) else {"train": found}


def _folder(path: Path) -> dict[str, Dataset]:
    if (path / "dataset_dict.json").is_file() or (path / "dataset_info.json").is_file():
        return _saved(path)
    if any(path.rglob("*.parquet")):
        return _parquet(path)
    return _images(path)


def _saved(path: Path) -> dict[str, Dataset]:
    try:
        found = datasets.load_from_disk(str(path))
    except (OSError, ValueError, LookupError) as error:
        why = first_line(error).rstrip(".")
        raise DataError(f"data.source: '{path}' is not whole: {why}. Write it again with save_to_disk") from error
    return dict(found) if isinstance(found, DatasetDict) else {"train": found}


def _parquet(path: Path) -> dict[str, Dataset]:
    """Parquet files named as on the Hub: `train-00000-of-00001.parquet`, `test/0000.parquet`, `data/validation-*.parquet`."""
    found = sorted(path.rglob("*.parquet"))
    _check_parquet(found)
    files: dict[str, list[str]] = {}
    for file in found:
        files.setdefault(_split_of(file.relative_to(path)), []).append(str(file))
    try:
        return dict(datasets.load_dataset("parquet", data_files=files))
    except (datasets.exceptions.DatasetGenerationError, OSError, ValueError) as error:
        why = first_line(error.__cause__ or error)
        raise DataError(f"data.source: the parquet files in '{path}' cannot be read: {why}") from error


def _check_parquet(files: list[Path]) -> None:
    columns: list[str] = []
    for file in files:
        try:
            found = pyarrow.parquet.read_metadata(file)
        except (OSError, ValueError) as error:
            raise DataError(f"data.source: '{file}' is not a whole parquet file: {first_line(error)}") from error
        if not found.num_rows:
            raise DataError(f"data.source: '{file}' holds no rows. Fill it or remove it")
        own = found.schema.to_arrow_schema().names
        columns = columns or own
        if set(own) != set(columns):
            raise DataError(
                f"data.source: '{files[0]}' has the columns {', '.join(columns)}, but '{file}' has {', '.join(own)}. "
                f"Keep the files of one data set in the folder"
            )


def _split_of(file: Path) -> str:
    """The split a parquet file belongs to by its name or its folders'; train where nothing says otherwise."""
    if numbered := re.fullmatch(r"(\w+)-\d+-of-\d+", file.stem):
        return numbered[1]
    words = re.findall(r"[a-z]+", file.stem.lower()) + [p.name.lower() for p in file.parents]
    return next((word for word in words if word in KNOWN), "train")


def _images(path: Path) -> dict[str, Dataset]:
    """An image folder: one folder per class, below `train`, `val` and `test` or directly."""
    children = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not children:
        raise DataError(f"data.source: '{path}' holds no class folders and no parquet files. {ADVICE}")
    splits = {p.name: p for p in children if p.name.lower() in KNOWN}
    if splits and len(splits) < len(children):
        other = next(p.name for p in children if p.name not in splits)
        raise DataError(
            f"data.source: '{path}' mixes splits ({', '.join(splits)}) with other folders ('{other}'). "
            f"Move one of them away"
        )
    listed = {name: _classes(folder) for name, folder in (splits or {"train": path}).items()}
    return {name: _labelled(classes) for name, classes in listed.items()}


def _classes(folder: Path) -> dict[str, list[str]]:
    """Class name -> image files. A class without images is an error, not a class less."""
    classes = {
        child.name: _pictures(child)
        for child in sorted(folder.iterdir())
        if child.is_dir() and not child.name.startswith(".")
    }
    if not classes:
        raise DataError(f"data.source: '{folder}' holds no class folders. {ADVICE}")
    for name, files in classes.items():
        if not files:
            raise DataError(f"data.source: the class folder '{folder / name}' holds no images. Fill it or remove it")
        if strange := next((f for f in files if f.encode("utf-8", "replace").decode() != f), None):
            raise DataError(f"data.source: the path {strange!r} is not UTF-8. Rename it")
    return classes


def _pictures(folder: Path) -> list[str]:
    """Image files below `folder`; hidden ones are left out."""
    found: list[str] = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        shown = [name for name in files if not name.startswith(".")]
        found += [os.path.join(root, name) for name in shown if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES]
    return sorted(found)


def _labelled(classes: Mapping[str, list[str]]) -> Dataset:
    pairs = [(file, label) for label, files in enumerate(classes.values()) for file in files]
    features = Features({"image": Image(decode=False), "label": ClassLabel(names=list(classes))})
    rows = {"image": [{"path": file, "bytes": None} for file, _ in pairs], "label": [label for _, label in pairs]}
    return Dataset.from_dict(rows, features=features)


def image_column(split: Dataset, wanted: str | None) -> str:
    """The column of images: named, or the only one of that type. Raises DataError."""
    images = [name for name, kind in split.features.items() if _is_image(kind)]
    return _choose("image", images, wanted, split, lambda kind: _is_image(kind) or _is_value(kind, "string|binary"))


def label_column(split: Dataset, wanted: str | None) -> str:
    """The column of labels: named, or the only class label, or `label`. Raises DataError."""
    labels = [name for name, kind in split.features.items() if isinstance(kind, ClassLabel)]
    if not labels:
        plain = [name for name, kind in split.features.items() if _is_label(kind)]
        labels = [name for name in plain if name in ("label", "labels", "class", "target")] or plain
    return _choose("label", labels, wanted, split, _is_label)


def _is_image(kind: Any) -> bool:
    return isinstance(kind, Image) or (isinstance(kind, dict) and {"bytes", "path"} <= kind.keys())


def _is_label(kind: Any) -> bool:
    return isinstance(kind, ClassLabel) or _is_value(kind, r"u?int\d+|string|bool")


def _is_value(kind: Any, dtypes: str) -> bool:
    return isinstance(kind, Value) and re.fullmatch(f"(large_)?({dtypes})", kind.dtype) is not None


def _choose(kind: str, candidates: list[str], wanted: str | None, split: Dataset, fits: Callable[[Any], bool]) -> str:
    have = ", ".join(split.column_names)
    if wanted is not None:
        if wanted not in split.features:
            raise UnknownName(f"column in data.{kind}_column", wanted, split.column_names)
        if not fits(split.features[wanted]):
            feature = split.features[wanted]
            found = feature.dtype if isinstance(feature, Value) else type(feature).__name__
            raise DataError(f"data.{kind}_column: '{wanted}' is of type {found}, not {kind}s (columns: {have})")
        return wanted
    if len(candidates) != 1:
        found = "none" if not candidates else " and ".join(candidates)
        raise DataError(
            f"data.{kind}_column: cannot tell which column holds the {kind}s (found {found}; columns: {have}). "
            f"Name it: data.{kind}_column=NAME"
        )
    return candidates[0]
