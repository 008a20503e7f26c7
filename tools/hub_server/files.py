"""Writes that survive a crash: beside, flushed to disk, then renamed."""

import json
import os
import secrets
from pathlib import Path
from typing import Any


def flush_folder(folder: Path) -> None:
    """Makes renames in a folder last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """With its parents, each of which will still name it after a crash."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        flush_folder(folder.parent)


def publish(written: Path, name: Path) -> None:
    """A closed file gets its name, whole or not at all."""
    handle = os.open(written, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    make_folder(name.parent)
    os.replace(written, name)
    flush_folder(name.parent)


def write_json(path: Path, value: Any) -> None:
    """Replaces the file as a whole."""
    make_folder(path.parent)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        beside.write_text(json.dumps(value, indent=1, sort_keys=True), encoding="utf-8")
        publish(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    """None if there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
