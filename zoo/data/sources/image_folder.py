"""A folder of images: one folder per class, below `train`, `val` and `test` or directly."""

import os
from collections.abc import Mapping
from pathlib import Path

from datasets import ClassLabel, Dataset, Features, Image

from zoo.config.recipe import Data
from zoo.config.source_ref import SourceRef
from zoo.data.sources.naming import ADVICE, IMAGE_SUFFIXES, KNOWN_SPLITS
from zoo.errors import DataError


def matches(ref: SourceRef) -> bool:
    return ref.kind == "path" and ref.path.is_dir()


def open(ref: SourceRef, options: Data) -> dict[str, Dataset]:
    """The splits that the folder's names say; without any, all images are `train`. Raises DataError."""
    path = ref.path
    children = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not children:
        raise DataError(f"data.source: '{path}' holds no class folders and no parquet files. {ADVICE}")
    splits = {p.name: p for p in children if p.name.lower() in KNOWN_SPLITS}
    if splits and len(splits) < len(children):
        other = next(p.name for p in children if p.name not in splits)
        raise DataError(
            f"data.source: '{path}' mixes splits ({', '.join(splits)}) with other folders ('{other}'). "
            f"Move one of them away"
        )
    listed = {name: _classes(folder) for name, folder in (splits or {"train": path}).items()}
    return {name: _labelled(classes) for name, classes in listed.items()}


def open_pictures(ref: SourceRef) -> dict[str, Dataset]:
    """All images below the folder as `train`, or as splits where all its folders are called so. Raises DataError."""
    children = sorted(p for p in ref.path.iterdir() if not p.name.startswith("."))
    splits = {p.name: p for p in children if p.is_dir() and p.name.lower() in KNOWN_SPLITS}
    others = [p for p in children if p.name not in splits and (p.is_dir() or p.name.lower().endswith(IMAGE_SUFFIXES))]
    if splits and others:
        raise DataError(
            f"data.source: '{ref.path}' mixes splits ({', '.join(splits)}) with others ('{others[0].name}'). "
            f"Move one of them away"
        )
    listed = {name: _images(folder) for name, folder in (splits or {"train": ref.path}).items()}
    if empty := next((name for name, files in listed.items() if not files), None):
        raise DataError(f"data.source: '{splits.get(empty, ref.path)}' holds no images. {ADVICE}")
    features = Features({"image": Image(decode=False)})
    return {
        name: Dataset.from_dict({"image": [{"path": file, "bytes": None} for file in _checked(files)]}, features)
        for name, files in listed.items()
    }


def _checked(files: list[str]) -> list[str]:
    """The paths. Raises DataError for one that is not UTF-8."""
    if strange := next((f for f in files if f.encode("utf-8", "replace").decode() != f), None):
        raise DataError(f"data.source: the path {strange!r} is not UTF-8. Rename it")
    return files


def _classes(folder: Path) -> dict[str, list[str]]:
    """Class name -> image files. A class without images is an error, not a class less."""
    classes = {
        child.name: _images(child)
        for child in sorted(folder.iterdir())
        if child.is_dir() and not child.name.startswith(".")
    }
    if not classes:
        raise DataError(f"data.source: '{folder}' holds no class folders. {ADVICE}")
    for name, files in classes.items():
        if not files:
            raise DataError(f"data.source: the class folder '{folder / name}' holds no images. Fill it or remove it")
        _checked(files)
    return classes


def _images(folder: Path) -> list[str]:
    """Image files below `folder`; hidden ones are left out."""
    found: list[str] = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        shown = [name for name in files if not name.startswith(".")]
        found += [os.path.join(root, name) for name in shown if name.lower().endswith(IMAGE_SUFFIXES)]
    return sorted(found)


def _labelled(classes: Mapping[str, list[str]]) -> Dataset:
    pairs = [(file, label) for label, files in enumerate(classes.values()) for file in files]
    features = Features({"image": Image(decode=False), "label": ClassLabel(names=list(classes))})
    rows = {"image": [{"path": file, "bytes": None} for file, _ in pairs], "label": [label for _, label in pairs]}
    return Dataset.from_dict(rows, features=features)
