"""Checkpoints that survive kills, full disks and flipped bits.

A checkpoint is written beside its final place, flushed to disk and renamed; `MANIFEST.json` holds the sha256 of each
file. Nothing in it is code: tensors are safetensors, the rest is JSON. At least the newest two are kept.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from zoo.errors import DiskFull, RunError

FORMAT = 1
KEEP = 2
Tensors = Mapping[str, torch.Tensor]


def save(folder: Path, step: int, tensors: Mapping[str, Tensors], state: Mapping[str, Any]) -> Path:
    """Publish `folder/step-NNNNNNNN` with one safetensors file per entry of `tensors`. Raises DiskFull, RunError."""
    target = folder / f"step-{step:08d}"
    part = folder / f".part-{os.getpid()}"
    with disk_faults(folder, sum(t.numel() * t.element_size() for group in tensors.values() for t in group.values())):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            for name, group in tensors.items():
                save_file({k: v.detach().contiguous() for k, v in group.items()}, part / f"{name}.safetensors")
            (part / "state.json").write_text(json.dumps(dict(state)))
            _write_manifest(part, step)
            _sync_tree(part)
            if target.exists():
                _remove(target)
            part.rename(target)
            sync(folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    _rotate(folder)
    return target


def _write_manifest(part: Path, step: int) -> None:
    files = {p.name: {"sha256": sha256(p), "bytes": p.stat().st_size} for p in sorted(part.iterdir())}
    (part / "MANIFEST.json").write_text(json.dumps({"format": FORMAT, "step": step, "files": files}, indent=1))


def newest(folder: Path, warn: Callable[[str], None]) -> Path | None:
    """The newest checkpoint that is whole; damaged ones are reported, set aside and passed over."""
    for path in sorted(_published(folder), reverse=True):
        fault = damage(path)
        if fault is None:
            return path
        warn(f"checkpoint {path.name} is damaged ({fault}); going back to the one before")
        with contextlib.suppress(OSError):
            path.rename(path.with_name(f"damaged-{path.name}"))
    return None


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint, None when it is whole. Reads every byte."""
    try:
        manifest = json.loads((path / "MANIFEST.json").read_text())
        files = manifest["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return "MANIFEST.json is missing or unreadable"
    if manifest.get("format") != FORMAT:
        return f"format {manifest.get('format')} is not {FORMAT}"
    for name, expected in files.items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != expected["bytes"]:
            return f"{name} has {file.stat().st_size} bytes instead of {expected['bytes']}"
        if sha256(file) != expected["sha256"]:
            return f"{name} has other content than was written"
    return None


def load(path: Path) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, Any]]:
    """(tensors by file, state) of a checkpoint that `newest` found whole."""
    tensors = {file.stem: load_file(file) for file in path.glob("*.safetensors")}
    return tensors, json.loads((path / "state.json").read_text())


def _published(folder: Path) -> list[Path]:
    return [p for p in folder.glob("step-*") if p.is_dir()] if folder.is_dir() else []


def _rotate(folder: Path) -> None:
    """Keep the newest; others, and what killed writers left, are renamed before they are deleted."""
    for path in sorted(_published(folder))[:-KEEP]:
        _remove(path)
    for leftover in folder.glob(".part-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _remove(path: Path) -> None:
    doomed = path.with_name(f".part-old-{path.name}")
    with contextlib.suppress(OSError):
        path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Flush a file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_tree(folder: Path) -> None:
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
def disk_faults(folder: Path, size: int) -> Iterator[None]:
    """Checks that `size` bytes fit, and turns every way of running out of disk into one DiskFull."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < size:
        raise DiskFull(_full(folder, size, free))
    try:
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
