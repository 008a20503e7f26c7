"""Parquet files: one, or a folder of them named as on the Hub."""

import re
from pathlib import Path

import datasets
import pyarrow.parquet
from datasets import Dataset

from zoo.config.recipe import Data
from zoo.config.source_ref import SourceRef
from zoo.data.sources.naming import KNOWN_SPLITS
from zoo.errors import DataError, first_line


def matches(ref: SourceRef) -> bool:
    if ref.kind != "path":
        return False
    return any(ref.path.rglob("*.parquet")) if ref.path.is_dir() else ref.path.suffix.lower() == ".parquet"


def open(ref: SourceRef, options: Data) -> dict[str, Dataset]:
    """The splits that the files' names say. Raises DataError."""
    return read_parquet(ref.path)


def read_parquet(path: Path) -> dict[str, Dataset]:
    """The splits of a parquet file, or of a folder of them. Raises DataError.

    Names are those of the Hub: `train-00000-of-00001.parquet`, `test/0000.parquet`, `data/validation-*.parquet`.
    """
    found = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    _check(found)
    files: dict[str, list[str]] = {}
    for file in found:
        files.setdefault(_split_of(file.relative_to(path if path.is_dir() else path.parent)), []).append(str(file))
    try:
        return dict(datasets.load_dataset("parquet", data_files=files))
    except (datasets.exceptions.DatasetGenerationError, OSError, ValueError) as error:
        why = first_line(error.__cause__ or error)
        raise DataError(f"data.source: the parquet files in '{path}' cannot be read: {why}") from error


def _check(files: list[Path]) -> None:
    """Every file is whole, has rows, and has the columns of the first. Raises DataError."""
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
    return next((word for word in words if word in KNOWN_SPLITS), "train")
