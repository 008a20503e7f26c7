"""Where a run happened: versions, device, git state, plugins."""

import os
import platform
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from operator import attrgetter
from pathlib import Path
from typing import Any

from zoo.config.recipe import AUTO, Named, Recipe
from zoo.plugins import KINDS, resolve

PACKAGES = (
    "timm-zoo",
    "torch",
    "torchvision",
    "timm",
    "accelerate",
    "datasets",
    "safetensors",
    "huggingface-hub",
    "numpy",
    "pillow",
)


def versions() -> dict[str, str]:
    """Installed versions of what a result depends on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found


def processor() -> str:
    """The processor's own name."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def device_name(device: Any) -> str:
    """The make of a torch.device."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor()


def device_facts() -> dict[str, Any]:
    """The accelerator if there is one, and the processor."""
    import psutil
    import torch

    facts: dict[str, Any] = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "platform": platform.platform(),
    }
    if torch.cuda.is_available():
        facts["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        facts["cuda"] = torch.version.cuda
    return facts


def parts_named(recipe: Recipe) -> list[tuple[str, str]]:
    """Kind and name of each part that the recipe names."""
    return [
        (kind.name, name.removeprefix(kind.prefix))
        for kind in KINDS.values()
        for key in filter(None, (kind.key, *kind.more_keys))
        for name in _names(attrgetter(key)(recipe))
        if name.startswith(kind.prefix) and (kind.name, name) != ("loss", AUTO)
    ]


def _names(value: Named | str | list[str] | None) -> list[str]:
    """The names that one key of a recipe holds."""
    if isinstance(value, list):
        return value
    name = value.name if isinstance(value, Named) else value
    return [name] if name else []


def plugins_used(recipe: Recipe) -> list[dict[str, str]]:
    """Kind, name, owner, version and contract range of each part that the recipe names, timm's own included."""
    return [_used(kind, name) for kind, name in parts_named(recipe)]


def _used(kind: str, name: str) -> dict[str, str]:
    part = resolve(kind, name)
    if part is None:
        return {"kind": kind, "name": name, "owner": "timm", "version": version("timm"), "contract": ""}
    return {"kind": kind, "name": part.name, "owner": part.owner, "version": part.version, "contract": part.contract}


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit of the repository around `folder` and whether it has changes; None outside of one."""

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    return {"commit": commit, "changes": bool(git("status", "--porcelain"))} if commit else None


def environment(recipe: Recipe, processes: int, data: dict[str, Any], measured: dict[str, Any]) -> dict[str, Any]:
    """The contents of `environment.json`. recipe: with nothing left open; measured: what closed it."""
    return {
        "versions": versions(),
        "device": device_facts(),
        "precision": recipe.train.precision,
        "channels_last": recipe.train.channels_last,
        "measured": measured,
        "processes": processes,
        "plugins": plugins_used(recipe),
        "git": git_state(Path.cwd()),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "data": data,
    }
