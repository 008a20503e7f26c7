"""Where a run happened: versions, device, git state, plugins."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from zoo.plugins import find, find_backbone
from zoo.recipe import Recipe

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


def device_facts() -> dict[str, Any]:
    """The accelerator if there is one, and the processor."""
    import psutil
    import torch

    facts: dict[str, Any] = {
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "platform": platform.platform(),
    }
    if torch.cuda.is_available():
        facts["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        facts["cuda"] = torch.version.cuda
    return facts


def plugins_used(recipe: Recipe) -> list[dict[str, str]]:
    """Distribution and version of each part that the recipe names."""
    parts = [find("head", recipe.model.head.name), find("schedule", recipe.schedule.name)]
    backbone = find_backbone(recipe.model.backbone)
    used = [{"kind": p.kind, "name": p.name, "owner": p.owner, "version": p.version} for p in [*parts, backbone] if p]
    return (
        used
        if backbone
        else [*used, {"kind": "backbone", "name": recipe.model.backbone, "owner": "timm", "version": version("timm")}]
    )


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


def environment(recipe: Recipe, precision: str, processes: int, data: dict[str, Any]) -> dict[str, Any]:
    """The contents of `environment.json`."""
    return {
        "versions": versions(),
        "device": device_facts(),
        "precision": precision,
        "processes": processes,
        "plugins": plugins_used(recipe),
        "git": git_state(Path.cwd()),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "data": data,
    }
