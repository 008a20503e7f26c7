"""Text files of rows (CSV, TSV, JSON Lines) as columns of text: nothing becomes a number, a date or a missing value."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import DataError

DELIMITERS = ",;\t"
JSON_LINES = (".jsonl", ".ndjson")
SUFFIXES = (".csv", ".tsv", *JSON_LINES)


@dataclass(frozen=True)
class Table:
    """Columns of equal length: text, None for a blank cell, or in JSON Lines a list of text.

    lines: the line of the file, counted from 1, on which each row begins.
    """

    columns: dict[str, list[Any]]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.lines)


def read_table(path: Path) -> Table:
    """The rows of a file by its suffix. Raises DataError, with the line, for what cannot be read as it is meant."""
    rows = _objects(path) if path.suffix.lower() in JSON_LINES else _records(path)
    columns: dict[str, list[Any]] = {}
    lines: list[int] = []
    for line, row in rows:
        for name, value in row.items():
            if name not in columns:
                columns[name] = [None] * len(lines)
            columns[name].append(value)
        lines.append(line)
        for values in columns.values():
            if len(values) < len(lines):
                values.append(None)
    if not lines:
        raise DataError(f"data.source: '{path}' holds no rows. Fill it or name another file")
    return Table(columns, lines)


def _text(path: Path) -> str:
    """The whole file without a byte-order mark. Raises DataError where it is not UTF-8."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"data.source: '{path}' cannot be read: {error.strerror}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(
            f"data.source: '{path}' is not UTF-8 text (byte {data[error.start]:#04x} on line {line}). Save it as UTF-8"
        ) from None


def _records(path: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    """(line, row) of a file with a delimiter; its first line names the columns, and one without a name is left out."""
    text = _text(path)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    names: list[str] = []
    line = 1
    try:
        for cells in reader:
            cells, begins, line = [cell.strip() for cell in cells], line, reader.line_num + 1
            if not any(cells):
                continue
            if not names:
                names = _checked_names(cells, path)
                continue
            if len(cells) != len(names):
                raise DataError(
                    f"data.source: line {begins} of '{path}' has {len(cells)} cells, but the first line names "
                    f'{len(names)} columns, with the delimiter {delimiter!r}. Quote cells that hold it: "a{delimiter}b"'
                )
            yield begins, {name: cell or None for name, cell in zip(names, cells, strict=True) if name}
    except csv.Error as error:
        raise DataError(f"data.source: line {line} of '{path}' cannot be read: {error}. Mend its quotes") from None


def _delimiter(text: str) -> str:
    """The one of `DELIMITERS` that cuts the first line into the most cells."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return max(DELIMITERS, key=lambda delimiter: len(next(csv.reader([first], delimiter=delimiter), ())))


def _checked_names(names: list[str], path: Path) -> list[str]:
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise DataError(f"data.source: the first line of '{path}' names the column '{twice[0]}' twice. Rename one")
    return names


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, row) of a file with one JSON object on each line."""
    for line, text in enumerate(_text(path).split("\n"), 1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"data.source: line {line} of '{path}' is not JSON: {getattr(error, 'msg', error)}"
            ) from None
        if not isinstance(row, dict):
            raise DataError(
                f'data.source: line {line} of \'{path}\' is no JSON object. Write each row as {{"image": ..., "label": ...}}'
            )
        yield line, {name: _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:
    """Text as it is, other values as JSON writes them, lists item by item; None for null and empty text."""
    if isinstance(value, list):
        return [item if isinstance(item, str) else json.dumps(item) for item in value]
    if isinstance(value, str) or value is None:
        return value or None
    return json.dumps(value)
