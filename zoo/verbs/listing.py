"""What is there: backbones, heads, schedules and recipes, without importing torch."""

from fnmatch import fnmatch
from importlib.metadata import version

from zoo.catalog import recipes
from zoo.errors import PluginError
from zoo.plugins import Kind, installed
from zoo.signature import signature
from zoo.timm_index import timm_models

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
    """Name, owner, version and first line of documentation of every freezing schedule whose name matches."""
    return _parts("schedule", pattern)


def list_recipes(pattern: str = "*") -> list[Row]:
    """Name, owner, summary and file of every recipe whose name matches."""
    rows = [{"name": r.name, "owner": r.owner, "summary": r.summary, "file": str(r.path)} for r in recipes()]
    return _matching(rows, pattern)


def _parts(kind: Kind, pattern: str) -> list[Row]:
    rows = []
    for plugin in installed(kind):
        try:
            summary = signature(plugin).doc.partition("\n")[0]
        except PluginError as error:
            summary = f"broken: {error}"
        rows.append({"name": plugin.name, "owner": plugin.owner, "version": plugin.version, "summary": summary})
    return _matching(rows, pattern)


def _matching(rows: list[Row], pattern: str) -> list[Row]:
    """Rows whose name matches a shell pattern; a pattern without wildcards is looked for anywhere in the name."""
    pattern = pattern if any(c in pattern for c in "*?[") else f"*{pattern}*"
    return [row for row in rows if fnmatch(row["name"].lower(), pattern.lower())]
