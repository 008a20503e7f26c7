"""The feature cache: what frozen backbones made of images, kept on disk for the next phase, run or probe.

FOLDER/features/KEY/features.npy    one split's features, (N, ...)
FOLDER/features/KEY/entry.json      what they are of, and the hash by which damage is found

KEY is a hash over everything that the features depend on, so an entry is right or absent, never out of date. An entry is
made beside and renamed, so two runs can share it. The least recently used go when the whole is larger than the budget.
"""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from zoo.errors import UsageError
from zoo.storage.workdir import ROOM, room, sweep
from zoo.timm_index import cache_folder

BUDGET_GB = 20.0
"""Unless ZOO_CACHE_GB says otherwise."""
SPARE = 0.1
"""Part of the free disk that the cache leaves alone."""
DAMAGE = (OSError, ValueError, LookupError, TypeError)
"""What reading an entry raises that is not whole; it gives way when it is needed."""


@dataclass(frozen=True)
class Entry:
    """One split's features. facts: what `entry.json` says; used: when they were last read, seconds since 1970."""

    folder: Path
    facts: Mapping[str, Any]
    bytes: int
    used: float

    @property
    def key(self) -> str:
        return self.folder.name

    @property
    def features(self) -> Path:
        return self.folder / "features.npy"


def shelf() -> Path:
    """The folder of all entries."""
    return cache_folder() / "features"


def budget() -> int:
    """Bytes that the cache may take. Raises UsageError, also where its folder is none."""
    if cache_folder().is_file():
        raise UsageError(f"ZOO_CACHE: '{cache_folder()}' is a file; name a folder")
    text = os.environ.get("ZOO_CACHE_GB") or str(BUDGET_GB)
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = -1.0
    if not 0 <= gigabytes < float("inf"):
        raise UsageError(f"ZOO_CACHE_GB: expected a number of gigabytes, 0 or more, found '{text}'")
    return int(gigabytes * 1e9)


def fits(size: int) -> bool:
    """Whether features of `size` bytes in all may be added, older entries making room where they must."""
    folder = cache_folder()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free + sum(entry.bytes for entry in entries())
    return size <= budget() and size <= (1 - SPARE) * free and os.access(folder, os.W_OK)


def entries() -> list[Entry]:
    """All whole entries, the last used first."""
    found = []
    for path in shelf().glob("*/entry.json"):
        with contextlib.suppress(*DAMAGE):
            facts = json.loads(path.read_text(encoding="utf-8"))
            size = (path.parent / "features.npy").stat().st_size
            if facts["hash"]:
                found.append(Entry(path.parent, facts, size, path.stat().st_mtime))
    return sorted(found, key=lambda entry: -entry.used)


def find(key: str) -> Path | None:
    """The features kept under a key, held against their hash and marked as used; damaged ones are removed."""
    folder = shelf() / key
    try:
        facts = json.loads((folder / "entry.json").read_text(encoding="utf-8"))
        whole = facts["hash"] == _hash(folder / "features.npy")
    except FileNotFoundError:
        whole = not folder.exists()
        if whole:
            return None
    except DAMAGE:
        whole = False
    if not whole:
        shutil.rmtree(folder, ignore_errors=True)
        return None
    with contextlib.suppress(OSError):  # a cache that can only be read serves as well
        os.utime(folder / "entry.json")
    return folder / "features.npy"


@contextlib.contextmanager
def adding(key: str, size: int, facts: Mapping[str, Any]) -> Iterator[Path]:
    """The path to write `size` bytes of features to; if all goes well, the entry is there when the block ends. Raises OSError.

    facts: what `zoo cache` shows of it, JSON-able.
    """
    with room(shelf()) as part:
        _evict(size)
        features = part / "features.npy"
        yield features
        # No room may be left, the folder may be gone, or somebody else may have made the same meanwhile.
        with contextlib.suppress(OSError):
            about = {**facts, "made": time.time(), "hash": _hash(features)}
            (part / "entry.json").write_text(json.dumps(about, indent=2), encoding="utf-8")
            part.rename(shelf() / key)


def remove(key: str) -> None:
    """Forget what is kept under a key."""
    shutil.rmtree(shelf() / key, ignore_errors=True)


def clear() -> int:
    """Remove every entry, and what was measured of this machine; the bytes of entries that became free.

    A run that reads one keeps it until it ends.
    """
    shutil.rmtree(cache_folder() / "speed", ignore_errors=True)
    freed = sum(entry.bytes for entry in entries())
    for folder in shelf().glob("*"):
        if not folder.name.startswith(ROOM):
            shutil.rmtree(folder, ignore_errors=True)
    sweep(shelf())
    return freed


def _evict(size: int) -> None:
    """Make room for `size` more bytes, in the budget and on the disk, by what was not used for longest."""
    kept = entries()
    while kept and (sum(e.bytes for e in kept) + size > budget() or shutil.disk_usage(shelf()).free < size):
        shutil.rmtree(kept.pop().folder, ignore_errors=True)


def _hash(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 24):
            digest.update(block)
    return digest.hexdigest()
