"""A commit as an installation of its own: its files in a worktree, its entry points in a folder, an environment for both.

Nothing is installed. The packages that zoo needs are those of the Python that runs the comparison.
"""

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from compare.renamed import KEYS, old_name

ROOT = Path(__file__).parents[2]
"""The checkout that this file is part of."""


@dataclass(frozen=True)
class Tree:
    """zoo as it is in the folder `files`; `work` is a folder for what runs of it write."""

    files: Path
    work: Path

    @cached_property
    def environment(self) -> dict[str, str]:
        """Variables under which `python -m zoo` is this tree's, on one thread, offline, with a cache of its own."""
        packages = [self.files, *sorted(path.parent for path in self.files.glob("plugins/*/pyproject.toml"))]
        projects = {folder: _project(folder) for folder in packages}
        site = self.work / "site"
        for project in projects.values():
            _write_metadata(project, site)
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (site, *projects))),
            "PYTHONSAFEPATH": "1",
            "ZOO_PLUGINS": ",".join(project["name"] for project in projects.values()),
            "ZOO_CACHE": str(self.work / "cache"),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
        }

    @cached_property
    def _schema(self) -> str:
        command = [sys.executable, "-m", "zoo", "show", "--schema"]
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout

    def spelled(self, setting: str) -> str:
        """A `key=value` pair whose key has its newest name, with the name that this tree knows."""
        key, _, value = setting.partition("=")
        old = old_name(key, KEYS)
        return f"{old if f' {old} ' in self._schema else key}={value}"


def _project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _write_metadata(project: dict[str, Any], site: Path) -> None:
    """What an installer would write of a project: its name, version and entry points."""
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = {"console_scripts": project.get("scripts", {}), **project.get("entry-points", {})}
    lines = [f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for name, points in groups.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))


def commit(name: str) -> str:
    """The full hash of what git calls `name`. Raises ValueError where git knows none."""
    words = ["git", "-C", str(ROOT), "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"]
    found = subprocess.run(words, capture_output=True, text=True)
    if found.returncode:
        raise ValueError(f"git knows no commit '{name}' in {ROOT}. See: git log --oneline")
    return found.stdout.strip()


@contextmanager
def checkout(name: str, work: Path) -> Iterator[Path]:
    """The files of a commit in a worktree inside the folder `work`, removed afterwards. Raises ValueError."""
    files, git = work / "files", ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(files), commit(name)], check=True)
    try:
        yield files
    finally:
        subprocess.run([*git, "remove", "--force", str(files)], check=True)
