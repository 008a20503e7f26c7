"""The parts of a distribution, installed or in a folder with a pyproject.toml."""

import re
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from zoo.errors import UnknownName, UsageError, nearest
from zoo.plugins import KINDS, OWN, Plugin, installed
from zoo.testing.report import Violation


@dataclass(frozen=True)
class Distribution:
    """A distribution and its parts. path: what must stand on sys.path, besides what does, so that they import."""

    name: str
    version: str
    parts: tuple[Plugin, ...]
    path: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return f"{self.name} {self.version}"


def third_party() -> list[Distribution]:
    """Every installed distribution with parts, but the zoo itself."""
    return [d for d in _installed() if d.name != OWN]


def _installed() -> list[Distribution]:
    parts = installed()
    owners = sorted({(part.owner, part.version) for part in parts})
    return [Distribution(*owner, tuple(p for p in parts if (p.owner, p.version) == owner)) for owner in owners]


def find_distribution(name: str) -> Distribution:
    """The installed distribution of that name. Raises UnknownName with the nearest."""
    found = {d.name: d for d in _installed()}
    if normal(name) not in found:
        hint = f"A folder is written with a slash: zoo plugin check ./{name}. See what is installed: zoo plugins"
        raise UnknownName("distribution with plugins", name, found, hint)
    return found[normal(name)]


@contextmanager
def choose(argument: str | None) -> Iterator[list[Distribution]]:
    """What `zoo plugin check ARGUMENT` means: all that is installed, a distribution, or a folder. Raises UsageError."""
    if argument is None:
        yield third_party()
    elif "/" in argument or argument in (".", "..") or (Path(argument) / "pyproject.toml").is_file():
        with in_folder(Path(argument)) as found:
            yield [found]
    else:
        yield [find_distribution(argument)]


@contextmanager
def in_folder(folder: Path) -> Iterator[Distribution]:
    """The distribution whose pyproject.toml lies in a folder, as if it were installed while the context lasts."""
    project = _project(folder)
    with tempfile.TemporaryDirectory() as site:
        _write_metadata(Path(site), project)
        roots = [root for root in (folder / "src", folder) if root.is_dir()]
        path = (site, *(str(root.resolve()) for root in roots))
        with _on_path(site):
            parts = tuple(part for part in installed() if part.owner == normal(project["name"]))
            yield Distribution(normal(project["name"]), str(project["version"]), parts, path)


@contextmanager
def _on_path(site: str) -> Iterator[None]:
    sys.path.insert(0, site)
    installed.cache_clear()
    try:
        yield
    finally:
        sys.path.remove(site)
        installed.cache_clear()


def _project(folder: Path) -> dict[str, Any]:
    """The [project] table. Raises UsageError where there is none, or without a name."""
    file = folder / "pyproject.toml"
    try:
        project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
    except FileNotFoundError:
        raise UsageError(f"'{folder}' has no pyproject.toml. Make a plugin: zoo plugin new NAME") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from None
    if not isinstance(project.get("name"), str):
        raise UsageError(f"{file} has no name under [project]")
    return {"version": "0", **project}


def _write_metadata(site: Path, project: Mapping[str, Any]) -> None:
    """What an installer would write about the project, as far as the check reads it."""
    info = site / f"{normal(project['name']).replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    licence = project.get("license", "")
    if isinstance(licence, Mapping):
        licence = licence.get("text") or licence.get("file") or ""
    lines = [f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}"]
    lines += [f"License: {' '.join(licence.split())}"] if licence else []
    lines += [f"Classifier: {classifier}" for classifier in project.get("classifiers", ())]
    (info / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
    groups = project.get("entry-points", {})
    text = "\n".join(
        f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in groups.items()
    )
    (info / "entry_points.txt").write_text(text, encoding="utf-8")


def entry_points(package: Distribution) -> Iterator[Violation]:
    """Its entry points are in groups that the zoo knows, and at least one is."""
    known = [kind.group for kind in KINDS.values()]
    try:
        groups = {point.group for point in distribution(package.name).entry_points}
    except PackageNotFoundError:
        groups = set()
    for group in sorted(g for g in groups if g.startswith("zoo.") and g not in known):
        yield Violation(f"the group '{group}'", nearest(group, known).strip(" ?") or f"use one of {', '.join(known)}")
    if not package.parts:
        table = '[project.entry-points."zoo.heads"] with a line NAME = "MODULE:CLASS"'
        yield Violation("no part in any group of the zoo", f"write {table} into pyproject.toml")


def normal(name: str) -> str:
    """A distribution's name as pip writes it."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
