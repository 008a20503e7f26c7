"""A CSV, TSV or JSON Lines file with the paths of images, relative to the file, and their labels."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Image, List, Value

from zoo.config.recipe import Data
from zoo.config.source_ref import SourceRef
from zoo.data.sources.listed_images import find_images
from zoo.data.sources.naming import KNOWN_SPLITS
from zoo.data.sources.table_reader import SUFFIXES, Table, read_table
from zoo.errors import DataError, UnknownName

IMAGE_NAMES = ("image", "file", "file_name", "filename", "path", "image_path", "image_id", "fname")
"""What columns of image paths are called, in lower case."""
VALID = {"true": "validation", "1": "validation", "false": "train", "0": "train"}
"""What a column `is_valid` may hold, in lower case, and the split that it means."""


def matches(ref: SourceRef) -> bool:
    return ref.kind == "path" and ref.path.suffix.lower() in SUFFIXES and ref.path.is_file()


def open(ref: SourceRef, options: Data) -> dict[str, Dataset]:
    """One split by each value of the column `split` or `is_valid`, else `train`.

    The column of paths becomes one of encoded images; all others stay text (lists of text in JSON Lines). Blank cells
    are None: nothing is known; where `data.label_delimiter` cuts cells into labels they stay blank: there is no label.
    Raises DataError with the line where the file is at fault.
    """
    path, table = ref.path, read_table(ref.path)
    column = _image_column(table, options.image_column, path)
    images = find_images(path, table.columns[column], table.lines)
    splits = _splits(table, options, path)
    columns = {name: values for name, values in table.columns.items() if name not in (column, splits[0])}
    if options.label_delimiter is not None:
        columns = {name: ["" if value is None else value for value in values] for name, values in columns.items()}
    features = {name: _feature(name, values, table.lines, path) for name, values in columns.items()}
    rows = Dataset.from_dict(
        {column: [{"path": image, "bytes": None} for image in images], **columns},
        features=Features({column: Image(decode=False), **features}),
    )
    return {name: rows.select(at) for name, at in splits[1].items()}


def _image_column(table: Table, wanted: str | None, path: Path) -> str:
    """The column of image paths: named, or the only one with a usual name. Raises UnknownName and DataError."""
    if wanted is not None:
        if wanted not in table.columns:
            raise UnknownName("column in data.image_column", wanted, table.columns)
        return wanted
    found = [name for name in table.columns if name.lower() in IMAGE_NAMES]
    if len(found) == 1:
        return found[0]
    have = ", ".join(table.columns)
    if found:
        raise DataError(
            f"data.image_column: '{path}' has several columns that may hold image paths ({', '.join(found)}; "
            f"columns: {have}). Name it: data.image_column=NAME"
        )
    raise DataError(
        f"data.image_column: '{path}' has no column of image paths ({', '.join(IMAGE_NAMES)}), but the columns {have}, "
        f"as its first line says. Name it: data.image_column=NAME"
    )


def _splits(table: Table, options: Data, path: Path) -> tuple[str | None, dict[str, list[int]]]:
    """The column that says the split of each row, None without one, and the rows of each split."""
    named = {name.lower(): name for name in table.columns if name not in _other_roles(options)}
    if (column := named.get("split")) and _names_splits(table.columns[column], options):
        values = table.columns[column]
    elif column := named.get("is_valid"):
        values = [VALID.get(str(value).lower()) for value in table.columns[column]]
    else:
        return None, {"train": list(range(len(table)))}
    splits: dict[str, list[int]] = {}
    for row, value in enumerate(values):
        if value is None:
            what = "a split" if column.lower() == "split" else "true or false"
            raise DataError(
                f"data.source: line {table.lines[row]} of '{path}' has {table.columns[column][row]!r} in the column "
                f"'{column}', expected {what}. Fill the cell, or rename the column"
            )
        splits.setdefault(value, []).append(row)
    return column, splits


def _names_splits(values: Iterable[Any], options: Data) -> bool:
    """Whether a column holds names of splits, usual ones or those that the recipe gives."""
    known = KNOWN_SPLITS | {getattr(options.splits, kind) for kind in ("train", "validation", "test")} - {None}
    return any(value in known or str(value).lower() in known for value in values)


def _other_roles(options: Data) -> set[str | None]:
    labels = options.label_column
    named = [labels] if labels is None or isinstance(labels, str) else labels
    return {options.image_column, options.weight_column, options.group_column, *named}


def _feature(name: str, values: list[Any], lines: list[int], path: Path) -> Any:
    """Text, or lists of text. Raises DataError for a column of both."""
    lists = [isinstance(value, list) for value in values if value is not None]
    if any(lists) and not all(lists):
        odd = next(i for i, value in enumerate(values) if isinstance(value, str))
        raise DataError(
            f"data.source: the column '{name}' of '{path}' holds lists, but line {lines[odd]} has {values[odd]!r}. "
            f"Write [{values[odd]!r}]"
        )
    return List(Value("string")) if any(lists) else Value("string")
