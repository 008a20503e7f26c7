"""Writing that survives kills and full disks, and says so when it cannot."""

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import DiskFull, RunError


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_hash(path: Path) -> str:
    """What git calls a file's contents, hex."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def sync(path: Path) -> None:
    """Flush a file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Flush a folder and its files to disk, with the permissions that a new file would have."""
    for file in folder.iterdir():
        file.chmod(0o666 & ~_umask())
        sync(file)
    sync(folder)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Replace a small file as a whole: written beside, flushed, renamed."""
    part = path.with_name(f".part-{path.name}")
    with disk_faults(path.parent, len(text)):
        try:
            part.write_text(text, encoding="utf-8")
            sync(part)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def whole_folder(folder: Path, size: int) -> Iterator[Path]:
    """A folder to fill with about `size` bytes, which then replaces `folder` as a whole. Raises DiskFull, RunError."""
    part = folder.with_name(f".part-{folder.name}")
    with disk_faults(folder.parent, size):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            yield part
            sync_tree(part)
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
            sync(folder.parent)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise


@contextlib.contextmanager
def disk_faults(folder: Path, size: int) -> Iterator[None]:
    """Checks that `size` bytes fit, and turns every way of running out of disk into one DiskFull. Raises DiskFull."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if free < size:
            raise DiskFull(_full(folder, size, free))
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskFull(_full(folder, size, shutil.disk_usage(folder).free)) from error
        raise RunError(f"{folder} cannot be written: {error.strerror or error}") from error
    except Exception as error:
        if "No space left" in str(error) or "unexpected pos" in str(error):
            raise DiskFull(_full(folder, size, shutil.disk_usage(folder).free)) from error
        raise


def _full(folder: Path, size: int, free: int) -> str:
    return f"the disk is full: {folder} needs {size / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free. Earlier checkpoints are kept; make room"
