"""Checkpoints that survive kills, full disks and flipped bits.

A checkpoint is written beside its final place, flushed to disk and renamed; `MANIFEST.json` holds the sha256 of each
file. Nothing in it is code: tensors are safetensors, the rest is JSON. At least the newest two are kept.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from zoo.storage.atomic import disk_faults, sha256, sync, sync_tree

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
                save_file(_apart(group), part / f"{name}.safetensors")
            (part / "state.json").write_text(json.dumps(dict(state)))
            _write_manifest(part, step)
            sync_tree(part)
            if target.exists():
                _remove(target)
            part.rename(target)
            sync(folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    _rotate(folder)
    return target


def _apart(group: Tensors) -> dict[str, torch.Tensor]:
    """The tensors as safetensors takes them: contiguous, and no two in the same memory, as weights are that a model shares."""
    met, apart = set(), {}
    for name, tensor in group.items():
        tensor = tensor.detach().contiguous()
        place = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if place in met else tensor
        met.add(place)
    return apart


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
        version = manifest["format"]
        files = {name: (int(it["bytes"]), str(it["sha256"])) for name, it in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "MANIFEST.json is missing or unreadable"
    if version != FORMAT:
        return f"format {version} is not {FORMAT}"
    for name in ("state.json", *files):
        if name not in files or not (path / name).is_file():
            return f"{name} is missing"
    return next((fault for name, expected in files.items() if (fault := _difference(path / name, *expected))), None)


def _difference(file: Path, size: int, digest: str) -> str | None:
    try:
        if file.stat().st_size != size:
            return f"{file.name} has {file.stat().st_size} bytes instead of {size}"
        return None if sha256(file) == digest else f"{file.name} has other content than was written"
    except OSError as error:
        return f"{file.name} cannot be read: {error.strerror}"


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
    shutil.rmtree(doomed, ignore_errors=True)
    with contextlib.suppress(OSError):
        path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)
