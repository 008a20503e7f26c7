"""What can be used, by kind: names, owners and one line about each. Nothing is imported to find out."""

from collections.abc import Iterable
from fnmatch import fnmatch
from importlib.metadata import version

from zoo.config.catalog import recipes
from zoo.config.source_ref import BUILT_IN
from zoo.errors import PluginError
from zoo.plugins import KINDS, OWN, Kind, installed
from zoo.plugins.signature import read_docstring, summary
from zoo.tasks.metrics_table import METRICS, Metric
from zoo.tasks.task import HOMES

Row = dict[str, str]
COLUMNS = {
    **{kind.plural: kind.columns for kind in KINDS.values()},
    "tasks": ("name", "summary"),
    "metrics": ("name", "better", "tasks", "summary"),
}
"""Each list that `zoo list` shows, with its columns."""


def list_backbones(pattern: str = "*") -> list[Row]:
    """Name, owner and version of every backbone whose name matches, plugins first, then timm's."""
    return list_rows("backbones", pattern)


def list_heads(pattern: str = "*") -> list[Row]:
    """Name, owner, version and first line of documentation of every head whose name matches."""
    return list_rows("heads", pattern)


def list_schedules(pattern: str = "*") -> list[Row]:
    """Name, owner, version and first line of documentation of every freezing schedule whose name matches."""
    return list_rows("schedules", pattern)


def list_recipes(pattern: str = "*") -> list[Row]:
    """Name, owner, summary and file of every recipe whose name matches."""
    return list_rows("recipes", pattern)


def list_rows(plural: str, pattern: str = "*") -> list[Row]:
    """The rows of one list, of `COLUMNS`, whose name matches: a shell pattern, or a part of the name."""
    pattern = pattern if any(c in pattern for c in "*?[") else f"*{pattern}*"
    return [row for row in _rows(plural) if fnmatch(row["name"].lower(), pattern.lower())]


def _rows(plural: str) -> list[Row]:
    if plural == "tasks":
        return [{"name": name, "summary": read_docstring(home).partition("\n")[0]} for name, home in HOMES.items()]
    if plural == "metrics":
        return [_metric_row(metric) for metric in METRICS]
    if plural == "recipes":
        return [{"name": r.name, "owner": r.owner, "summary": r.summary, "file": str(r.path)} for r in recipes()]
    kind = next(kind for kind in KINDS.values() if kind.plural == plural)
    return [*_of_plugins(kind), *_built_in(kind), *_of_timm(kind)]


def _metric_row(metric: Metric) -> Row:
    better = "higher" if metric.higher_is_better else "lower"
    return {"name": metric.name, "better": better, "tasks": ", ".join(metric.tasks), "summary": metric.title}


def _of_plugins(kind: Kind) -> Iterable[Row]:
    for plugin in installed(kind.name):
        row = {"name": plugin.name, "owner": plugin.owner, "version": plugin.version}
        if "summary" in kind.columns:
            try:
                row["summary"] = summary(plugin)
            except PluginError as error:
                row["summary"] = f"broken: {error}"
        yield row


def _built_in(kind: Kind) -> Iterable[Row]:
    """The zoo's own sources, which no entry point names, and what `data.source` says for each."""
    for name, about in BUILT_IN.items() if kind.name == "source" else ():
        yield {"name": name, "owner": OWN, "version": version(OWN), "summary": about}


def _of_timm(kind: Kind) -> Iterable[Row]:
    names = kind.timm() if kind.timm else ()
    own = {"owner": "timm", "version": version("timm")} if names else {}
    for name in names:
        row = {"name": name, **own}
        yield {**row, "summary": names[name]} if isinstance(names, dict) else row
