"""Where fetched models lie: put there whole, and known by their hashes."""

import errno
import json
from contextlib import suppress
from pathlib import Path

from zoo.errors import RunError
from zoo.storage.atomic import sha256, sync, sync_tree
from zoo.storage.workdir import GONE, ROOM, sweep

TRIES = 5
RECORD = ".hashes.json"
"""sha256 by name of the files of a model in the cache."""


def home_of(to: Path) -> Path:
    """The folder to work in for a model that goes to `to`: the nearest one that exists. Raises RunError.

    `to` itself must be new or empty.
    """
    whole = to.absolute()
    try:
        home = next(path for path in (whole, *whole.parents) if path.exists())
    except OSError as error:
        raise RunError(f"{to} cannot be made: {error.strerror}; choose another --to") from error
    if not home.is_dir() and home != whole:
        raise RunError(f"{to} cannot be made: {home} is not a folder; choose another --to")
    if home.is_dir():
        sweep(home)
    if home == whole and _is_taken(to):
        raise RunError(f"{to} exists and is not empty; choose another --to")
    return home


def _is_taken(to: Path) -> bool:
    return not to.is_dir() or any(not path.name.startswith((ROOM, GONE)) for path in to.iterdir())


def damage(folder: Path) -> str:
    """The first file of a model in the cache that is missing, added or changed since it was put there; '' for none."""
    try:
        record = dict(json.loads((folder / RECORD).read_text(encoding="utf-8")))
        strange = {path.name for path in folder.iterdir()} ^ {RECORD, *record}
    except (OSError, ValueError, TypeError):
        return RECORD
    return min(strange, default="") or next((n for n, digest in record.items() if not _is(folder / n, digest)), "")


def _is(file: Path, digest: str) -> bool:
    try:
        return sha256(file) == digest
    except OSError:
        return False


def keep(part: Path, folder: Path) -> None:
    """Make the model in a room that in the cache. What is damaged there gives way; what another fetch put there stays."""
    record = {path.name: sha256(path) for path in part.iterdir()}
    (part / RECORD).write_text(json.dumps(record), encoding="utf-8")
    sync_tree(part)
    folder.parent.mkdir(exist_ok=True)
    for attempt in range(TRIES):  # others may be at this, too
        try:
            part.rename(folder)
            break
        except OSError:
            if not damage(folder):
                return
            if attempt == TRIES - 1:
                raise
            with suppress(OSError):
                folder.rename(part.with_name(f"damaged-{attempt}"))
    sync(folder.parent)


def hand_over(part: Path, to: Path) -> None:
    """Make the model in a room the folder `to`, which is new or empty. Raises RunError where it no longer is."""
    sync_tree(part)
    to.parent.mkdir(parents=True, exist_ok=True)
    if to.is_dir() and not _is_taken(to):  # perhaps where somebody's shell is: it stays, and is filled
        for file in part.iterdir():
            file.rename(to / file.name)
        sync(to)
        return
    try:
        part.rename(to)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise RunError(f"{to} exists by now; choose another --to") from None
    sync(to.parent)
