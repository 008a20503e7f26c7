"""Plain folders as repositories: their files are served where they lie, as one first commit."""

import os
from collections.abc import Iterator
from pathlib import Path

from .answers import Refusal
from .blobs import File, describe
from .names import KINDS, Repo, checked_path, is_name

LEFT_OUT = {".git", ".cache"}
"""Folders that other tools leave behind; `hf download --local-dir` writes `.cache`."""


def repositories(folder: Path) -> Iterator[Repo]:
    """Every `KIND/OWNER/NAME` below a folder whose name a repository may have."""
    for kind in KINDS:
        for path in sorted((folder / kind).glob("*/*")):
            if path.is_dir() and is_name(path.name) and is_name(path.parent.name):
                yield Repo(kind, path.parent.name, path.name)


def snapshot(folder: Path, known: dict[str, File]) -> dict[str, File]:
    """path -> file; only those changed since `known` (by size and time) are read. Links to folders are not followed."""
    found = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - LEFT_OUT)
        for path in (Path(parent, name) for name in names):
            name = path.relative_to(folder).as_posix()
            if not path.is_file() or not servable(name):
                continue
            stat = path.stat()
            was = known.get(name)
            same = was is not None and (was.size, was.mtime_ns) == (stat.st_size, stat.st_mtime_ns)
            found[name] = was if same else describe(path, name, stat.st_mtime_ns)
    return dict(sorted(found.items()))


def servable(name: str) -> bool:
    try:
        return bool(checked_path(name))
    except Refusal:
        return False


def unchanged(path: Path, file: File) -> bool:
    """Whether a file in a folder still is what the commit says."""
    try:
        stat = path.stat()
    except OSError:
        return False
    return (stat.st_size, stat.st_mtime_ns) == (file.size, file.mtime_ns)
