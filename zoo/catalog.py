"""Recipe names -> files: the zoo's own, those of plugins, or a path."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from zoo.errors import PluginError, UnknownName, UsageError
from zoo.plugins import OWN, installed
from zoo.signature import locate


@dataclass(frozen=True)
class Shipped:
    """A recipe that came with a distribution."""

    name: str
    owner: str
    path: Path

    @property
    def summary(self) -> str:
        """The first line, where it is a comment, without the name."""
        first = self.path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
        return first.lstrip("# ").removeprefix(f"{self.name}:").strip() if first.startswith("#") else ""


def recipes() -> list[Shipped]:
    """Every recipe of every installed distribution, by name."""
    found = [
        Shipped(file.stem, plugin.owner, file)
        for plugin in installed("recipe")
        for file in sorted(_folder(plugin.target).glob("*.yaml"))
    ]
    return sorted(found, key=lambda r: (r.name, r.owner))


def _folder(package: str) -> Path:
    """The folder of a package, found without importing it; in a checkout the zoo's own is `recipes/`."""
    spec = locate(package)
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    if package == "zoo._recipes":
        return Path(__file__).parents[1] / "recipes"
    return Path("/nonexistent")


def find_recipe(name: str) -> Path:
    """The file of a recipe: a path, a name, or `owner:name`. Raises UnknownName, PluginError, UsageError."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or "/" in name:
        if not path.is_file():
            raise UsageError(f"no recipe file '{name}'. A recipe is a name (zoo list recipes) or a YAML file's path")
        return path
    shipped = recipes()
    hits = [r for r in shipped if name in (r.name, f"{r.owner}:{r.name}")]
    if not hits:
        raise UnknownName("recipe", name, [r.name for r in shipped], "See them all: zoo list recipes")
    if len(hits) > 1:
        choices = ", ".join(f"{r.owner}:{r.name}" for r in hits)
        raise PluginError(f"recipe '{name}' comes with several distributions. Say which: {choices}")
    return hits[0].path


def zoo_version() -> str:
    """The installed version of the zoo, "unknown" when it runs from a folder that was never installed."""
    try:
        return version(OWN)
    except PackageNotFoundError:
        return "unknown"
