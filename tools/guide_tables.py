"""The tables and drawings of README and guide, made from the code as Markdown."""

import inspect
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import zoo
import zoo.errors
from zoo.cli import VERBS
from zoo.config.catalog import recipes
from zoo.config.key_docs import Key, describe_keys
from zoo.config.recipe import Augment
from zoo.plugins import KINDS, OWN, Kind, Plugin, installed
from zoo.plugins.signature import signature, summary
from zoo.tasks.metrics_table import METRICS
from zoo.tasks.rule import USED

ROOT = Path(__file__).parents[1]
SAID_OTHERWISE = ("backbone", "recipe", "optimizer", "source")
"""Kinds with a row of their own words in the table of what is supported, or a table of their own."""
LESSONS = ("zoo-tutorial",)
"""Plugins of this checkout that show how a plugin is written, and whose parts nobody needs."""


def recipe_table() -> str:
    """Name, task and expectation of every shipped recipe."""
    rows = []
    for recipe in recipes():
        if recipe.owner == OWN:
            expected = re.search(r"^# expected\s+(.*)$", recipe.path.read_text(encoding="utf-8"), re.MULTILINE)[1]
            rows.append((f"`{recipe.name}`", recipe.summary, expected))
    return _table(("recipe", "what", "expected"), rows)


def command_table() -> str:
    """Every verb and what it does."""
    return _table(("command", "what"), ((f"`zoo {verb}`", text) for verb, text in VERBS.items()))


def plugin_table() -> str:
    """Every first-party plugin: its folder and what it says of itself."""
    return _table(
        ("plugin", "what"), ((f"`plugins/{project['name']}`", project["description"]) for project in _projects())
    )


def key_tables() -> str:
    """Every key of a recipe: a table for each section."""
    keys, blocks = describe_keys(), []
    for section in [None, *(key for key in keys if key.is_section)]:
        own = [
            key
            for key in keys
            if not key.is_section and key.name.rpartition(".")[0] == (section.name if section else "")
        ]
        heading = f"### `{section.name}`: {_lowered(section.doc)}" if section else "### At the top"
        blocks += [heading, _table(("key", "value", "default", "meaning"), map(_key_row, own))]
    return "\n\n".join(blocks)


def _key_row(key: Key) -> tuple[str, str, str, str]:
    default = "must be given" if key.default is None else f"`{key.default}`"
    return f"`{key.name}`", key.type.replace(" | ", ", "), default, key.doc


def head_table() -> str:
    """Every head: what it does and its options."""
    return _parts("head")


def schedule_table() -> str:
    """Every freezing schedule: what trains and its options."""
    return _parts("schedule")


def loss_table() -> str:
    """Every loss and its options."""
    return _parts("loss")


def adapter_table() -> str:
    """Every adapter and its options."""
    return _parts("adapter")


def _parts(kind: str) -> str:
    """Name, first line of documentation and options of the parts of a kind."""
    rows = []
    for plugin in _own(kind):
        options = ", ".join(f"`{o.name}={o.default}`" for o in signature(plugin).options)
        rows.append((f"`{plugin.name}`", summary(plugin), options or "none"))
    return _table((kind, "what", "options and defaults"), rows)


def kind_table() -> str:
    """Every kind of part that a plugin can bring: its entry-point group, the key that names it, what it is."""
    return _table(("entry-point group", "key", "what it is"), (_kind_row(kind) for kind in KINDS.values()))


def _kind_row(kind: Kind) -> tuple[str, str, str]:
    what = (
        inspect.getdoc(kind.protocol).partition("\n")[0].partition(": ")[2]
        if kind.protocol
        else "a folder of YAML files"
    )
    return f"`{kind.group}`", f"`{kind.key}`" if kind.key else "", what.rstrip(".")


def metric_table() -> str:
    """Every metric: what it is, which way is better, for which tasks, and whether each epoch's line shows it."""
    rows = [
        (
            f"`{metric.name}`",
            metric.title,
            "higher" if metric.higher_is_better else "lower",
            ", ".join(metric.tasks),
            "yes" if metric.headline else "",
        )
        for metric in METRICS
    ]
    return _table(("metric", "what", "better", "tasks", "in each epoch's line"), rows)


def supported_table() -> str:
    """What comes with the zoo and its first-party plugins, by kind."""
    rows = [
        ("tasks", ", ".join(f"`{name}`" for name in USED)),
        ("images", "folders by class, CSV, TSV, JSON Lines, parquet, `save_to_disk`, data sets of the Hub"),
        ("backbones", f"every model of timm, and {_names('backbone')}"),
        *((kind.plural, _names(kind.name)) for kind in KINDS.values() if kind.name not in SAID_OTHERWISE),
        ("optimizers", "every optimiser of timm"),
        ("augmentation", ", ".join(f"`{name}`" for name in Augment.model_fields)),
        ("metrics", ", ".join(f"`{metric.name}`" for metric in METRICS)),
    ]
    return _table(("what", "which"), rows)


def _names(kind: str) -> str:
    return ", ".join(f"`{name}`" for name in dict.fromkeys(plugin.name for plugin in _own(kind)))


def speed_table() -> str:
    """What was measured on a CPU: ours over theirs, as the median and the range of the rounds."""
    results = json.loads((ROOT / "tools" / "bench" / "results" / "cpu.json").read_text(encoding="utf-8"))
    rows = [
        (
            row["what"],
            row["against"],
            row["unit"],
            f"{r['median']:.3g}",
            f"{r['low']:.3g} to {r['high']:.3g}",
            row["goal"],
        )
        for row in results["rows"]
        for r in [row["ratio"]]
    ]
    return _table(("zoo", "reference", "unit", "zoo / reference", "rounds", "goal"), rows)


def layers() -> str:
    """The drawing of the layers."""
    return _drawing(zoo.__doc__)


def errors() -> str:
    """The tree of errors."""
    return _drawing(zoo.errors.__doc__)


def _drawing(doc: str) -> str:
    """A module's docstring from its second paragraph on, as a block of text."""
    return f"```text\n{inspect.cleandoc(doc.partition(chr(10) * 2)[2]).strip()}\n```"


def _own(kind: str) -> list[Plugin]:
    """The parts of a kind that come with the zoo or with a plugin of this checkout, but for lessons."""
    owners = {OWN, *(project["name"] for project in _projects())} - set(LESSONS)
    return [plugin for plugin in installed(kind) if plugin.owner in owners]


def _projects() -> list[dict[str, str]]:
    return [tomllib.loads(path.read_text())["project"] for path in sorted(ROOT.glob("plugins/*/pyproject.toml"))]


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [" | ".join(columns), *(" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows)]
    lines = [f"| {line} |" for line in lines]
    return "\n".join([lines[0], "|---" * len(columns) + "|", *lines[1:]])


def _lowered(sentence: str) -> str:
    """A sentence as it stands after a colon."""
    return sentence[:1].lower() + sentence[1:].rstrip(".")


TABLES: dict[str, Callable[[], str]] = {
    "recipes": recipe_table,
    "commands": command_table,
    "plugins": plugin_table,
    "keys": key_tables,
    "heads": head_table,
    "schedules": schedule_table,
    "losses": loss_table,
    "adapters": adapter_table,
    "kinds": kind_table,
    "metrics": metric_table,
    "supported": supported_table,
    "speed": speed_table,
    "layers": layers,
    "errors": errors,
}
"""What stands between `<!-- name -->` and `<!-- /name -->` in a document."""
