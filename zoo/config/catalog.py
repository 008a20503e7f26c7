"""Recipe names -> files: the zoo's own, those of plugins, or a path."""

import os
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import PluginError, UnknownName, UsageError
from zoo.plugins import escape, installed, locate


@dataclass(frozen=True)
class Shipped:
    """A recipe that came with a distribution."""

    name: str
    owner: str
    path: Path

    @property
    def summary(self) -> str:
        """The first line, where it is a comment, without the name."""
        try:
            with self.path.open(encoding="utf-8", errors="replace") as text:
                first = text.readline().rstrip("\n")
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        return escape(first.lstrip("# ").removeprefix(f"{self.name}:").strip()) if first.startswith("#") else ""


def recipes() -> list[Shipped]:
    """Every recipe of every installed distribution, by name."""
    found = {
        Shipped(file.stem, plugin.owner, file)
        for plugin in installed("recipe")
        for file in folder(plugin.target).glob("*.yaml")
        if os.path.isfile(file)
    }
    return sorted(found, key=lambda r: (r.name, r.owner, r.path))


def folder(package: str) -> Path:
    """The folder of a package, found without importing it; in a checkout the zoo's own is `recipes/`."""
    spec = locate(package)
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    if package == "zoo._recipes":
        return Path(__file__).parents[2] / "recipes"
    return Path("/nonexistent")


def _onward(path: Path) -> str:
    """What to type next instead of a name that no recipe has, but perhaps something that lies here."""
    if path.is_dir():
        return f"For pictures in the folder: zoo finetune --recipe images data.source={path}"
    return "A recipe's file is named .yaml" if os.path.isfile(path) else "See them all: zoo list recipes"


def find_recipe(name: str) -> Path:
    """The file of a recipe: a path, a name, or `owner:name`. Raises UnknownName, PluginError, UsageError."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or "/" in name:
        if not os.path.isfile(path):  # False, not an error, for what cannot be a path
            raise UsageError(f"no recipe file '{name}'. A recipe is a name (zoo list recipes) or a YAML file's path")
        return path
    shipped = recipes()
    hits = [r for r in shipped if name in (r.name, f"{r.owner}:{r.name}")]
    if not hits:
        raise UnknownName("recipe", name, [r.name for r in shipped], _onward(path))
    if len(hits) > 1:
        if len({r.owner for r in hits}) == 1:
            files = " and ".join(str(r.path) for r in hits)
            raise PluginError(f"recipe '{name}' comes twice with {hits[0].owner}. Say which file: {files}")
        choices = ", ".join(dict.fromkeys(f"{r.owner}:{r.name}" for r in hits))
        raise PluginError(f"recipe '{name}' comes with several distributions. Say which: {choices}")
    return hits[0].path
