"""Folders in which something is being made: locked for as long as the process that makes it lives, swept once it is gone."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

ROOM = ".part-zoo-"
"""How a folder begins in which work goes on, or went on when it was killed."""
GONE = ".gone-zoo-"
"""How one begins that is being removed; whoever finds it may help."""


@contextmanager
def room(home: Path) -> Iterator[Path]:
    """An empty folder in `home` to make something in and to rename elsewhere; what lies beside it is gone afterwards.

    It is locked for as long as this process lives, and never seen unlocked. Raises OSError.
    """
    home.mkdir(parents=True, exist_ok=True)
    sweep(home)
    fresh = Path(mkdtemp(prefix=".new-", dir=home))
    (fresh / "made").mkdir()
    with (fresh / "lock").open("w") as lock:
        with suppress(OSError):  # without locks on this file system, nothing on it is ever swept
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        claimed = fresh.rename(home / fresh.name.replace(".new-", ROOM, 1))
        try:
            yield claimed / "made"
        finally:
            _remove(claimed)


def sweep(home: Path) -> None:
    """Remove the rooms in `home` of processes that were killed."""
    for left in home.glob(f"{ROOM}*"):
        with suppress(OSError), (left / "lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(left)
    for left in home.glob(f"{GONE}*"):
        shutil.rmtree(left, ignore_errors=True)


def _remove(left: Path) -> None:
    """First out of the way, so that nobody opens a lock, and with that makes one, in what is half gone."""
    with suppress(OSError):
        left = left.rename(left.with_name(left.name.replace(ROOM, GONE, 1)))
    shutil.rmtree(left, ignore_errors=True)
