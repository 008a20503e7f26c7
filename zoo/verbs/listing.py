"""What is there, by kind: names, owners and documentation, without importing any of it."""

from fnmatch import fnmatch
from importlib.metadata import version

from zoo.config.catalog import recipes
from zoo.errors import PluginError
from zoo.plugins import Kind, installed
from zoo.plugins.signature import summary
from zoo.timm_index import timm_models, timm_optimizers

Row = dict[str, str]


def list_backbones(pattern: str = "*") -> list[Row]:
    """Name, owner and version of every backbone whose name matches, plugins first, then timm's."""
    plugins = [{"name": p.name, "owner": p.owner, "version": p.version} for p in installed("backbone")]
    timm = version("timm") if timm_models() else ""
    return _matching(plugins + [{"name": name, "owner": "timm", "version": timm} for name in timm_models()], pattern)


def list_heads(pattern: str = "*") -> list[Row]:
    """Name, owner, version and first line of documentation of every head whose name matches."""
    return _parts("head", pattern)


def list_schedules(pattern: str = "*") -> list[Row]:
    """The same of every freezing schedule."""
    return _parts("schedule", pattern)


def list_adapters(pattern: str = "*") -> list[Row]:
    """The same of every adapter."""
    return _parts("adapter", pattern)


def list_losses(pattern: str = "*") -> list[Row]:
    """The same of every loss."""
    return _parts("loss", pattern)


def list_sources(pattern: str = "*") -> list[Row]:
    """The same of every data source that is a plugin (`data.source: plugin:NAME`)."""
    return _parts("source", pattern)


def list_optimizers(pattern: str = "*") -> list[Row]:
    """The same of every optimiser, plugins first, then timm's."""
    timm = version("timm") if timm_optimizers() else ""
    theirs = [{"name": n, "owner": "timm", "version": timm, "summary": s} for n, s in timm_optimizers().items()]
    return _parts("optimizer", pattern) + _matching(theirs, pattern)


def list_recipes(pattern: str = "*") -> list[Row]:
    """Name, owner, summary and file of every recipe whose name matches."""
    rows = [{"name": r.name, "owner": r.owner, "summary": r.summary, "file": str(r.path)} for r in recipes()]
    return _matching(rows, pattern)


def _parts(kind: Kind, pattern: str) -> list[Row]:
    rows = []
    for plugin in installed(kind):
        try:
            about = summary(plugin)
        except PluginError as error:
            about = f"broken: {error}"
        rows.append({"name": plugin.name, "owner": plugin.owner, "version": plugin.version, "summary": about})
    return _matching(rows, pattern)


def _matching(rows: list[Row], pattern: str) -> list[Row]:
    """Rows whose name matches a shell pattern; a pattern without wildcards is looked for anywhere in the name."""
    pattern = pattern if any(c in pattern for c in "*?[") else f"*{pattern}*"
    return [row for row in rows if fnmatch(row["name"].lower(), pattern.lower())]
