"""Examine the installation: what is there, what is missing, and what to do about it."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch

from zoo.config.environment import device_facts, versions
from zoo.distributed.processes import resolve_precision
from zoo.errors import UsageError
from zoo.hub import reachable
from zoo.plugins import installed
from zoo.storage.feature_cache import budget
from zoo.timm_index import cache_folder, timm_models
from zoo.verbs.inspection import faults

Finding = dict[str, Any]


def examine() -> list[Finding]:
    """One finding per subject: `about`, `found`, `ok`, `advice` (empty when all is well)."""
    return [_versions(), _device(), _memory(), _disk(), _cache(), _hub(), _timm(), _plugins()]


def _finding(about: str, found: str, advice: str = "") -> Finding:
    return {"about": about, "found": found, "ok": not advice, "advice": advice}


def _versions() -> Finding:
    found = versions()
    missing = [name for name, version in found.items() if version == "missing"]
    advice = f"install what is missing: pip install {' '.join(missing)}" if missing else ""
    return _finding("versions", ", ".join(f"{k} {v}" for k, v in found.items()), advice)


def _device() -> Finding:
    facts = device_facts()
    precision = resolve_precision("auto")
    if gpus := facts.get("gpus"):
        return _finding(
            "device", f"{len(gpus)} GPU ({', '.join(sorted(set(gpus)))}), precision auto starts from {precision}"
        )
    built = torch.version.cuda
    driver = shutil.which("nvidia-smi") is not None
    advice = f"nvidia-smi is there but torch (CUDA {built}) sees no GPU: check the driver's version" if driver else ""
    return _finding(
        "device",
        f"CPU with {facts['cores']} cores, {facts['threads']} threads, precision auto starts from {precision}",
        advice,
    )


def _memory() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    advice = "little is free: take a smaller data.batch_size" if memory.available < 2e9 else ""
    return _finding("memory", f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free", advice)


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    advice = "" if os.access(Path.cwd(), os.W_OK) else "this folder cannot be written: choose another with --out"
    if free < 2e9:
        advice = "little is free: a checkpoint takes about 4 times the model's size"
    return _finding("disk", f"{free / 1e9:.1f} GB free in {Path.cwd()}", advice)


def _cache() -> Finding:
    folder = cache_folder()
    parent = next(p for p in (folder, *folder.parents) if p.exists())
    usable = parent.is_dir() and os.access(parent, os.W_OK)
    advice = "" if usable else "it cannot be written: set ZOO_CACHE to a folder that can"
    try:
        budget()
    except UsageError as error:
        advice = str(error)
    return _finding("cache", str(folder), advice)


def _hub() -> Finding:
    if reachable():
        return _finding("hub", "answers")
    return _finding(
        "hub",
        "cannot be reached",
        "name local data (data.source=PATH) and weights (model.pretrained=PATH), or run quickstart",
    )


def _timm() -> Finding:
    return _finding("timm", f"{len(timm_models()):,} architectures")


def _plugins() -> Finding:
    parts = [p for p in installed() if p.kind != "recipe"]
    broken = [text for text in faults(parts).values() if text]
    return _finding(
        "plugins", f"{len(parts)} parts of {len({p.owner for p in parts})} distributions", "; ".join(broken)
    )
