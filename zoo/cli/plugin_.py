"""zoo plugin check, zoo plugin new"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from zoo.cli.output import as_json, print_json, print_table
from zoo.errors import ContractError
from zoo.verbs.new_plugin import SCAFFOLDS, write_plugin

TIMEOUT_S, TIMEOUT_SLOW_S = 180.0, 1800.0


@click.group()
def command() -> None:
    """Make a plugin, or check one against the contract.

    \b
    zoo plugin new paw --kind head
    zoo plugin check ./paw
    zoo plugin check --json zoo-paw
    """


@command.command()
@click.argument("which", required=False, metavar="[DIST|PATH]")
@click.option("--slow", is_flag=True, help="Also compile, and load pretrained weights, maybe from the network.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help=f"Give up a part after so long.  [default: {TIMEOUT_S:g}, with --slow {TIMEOUT_SLOW_S:g}]",
)
@as_json
def check(which: str | None, slow: bool, timeout: float | None, json_: bool) -> int:
    """Check every part of a distribution, of a folder with a pyproject.toml, or of all plugins that are installed.

    Each part runs in a process of its own, with random weights. A folder is written with a slash.

    \b
    zoo plugin check ./zoo-paw
    """
    from zoo.testing.distributions import choose, entry_points
    from zoo.testing.report import judge
    from zoo.testing.sandbox import try_out

    seconds = timeout or (TIMEOUT_SLOW_S if slow else TIMEOUT_S)
    told: list[tuple[str, Any]] = []
    with choose(which) as distributions:
        for found in distributions:
            told += [(found.label, outcome) for outcome in judge(entry_points, found)]
            for plugin in found.parts:
                click.echo(f"checking {plugin}", err=True)
                told += [(str(plugin), outcome) for outcome in try_out(plugin, found.path, slow, seconds)]
    return _report(told, json_)


def _report(told: list[tuple[str, Any]], json_: bool) -> int:
    """Print (part, outcome) pairs. Raises ContractError where something failed and is not printed as JSON."""
    broken = [outcome.line(part) for part, outcome in told if outcome.state == "failed"]
    if json_:
        print_json({"ok": not broken, "points": [{"part": part, **asdict(outcome)} for part, outcome in told]})
        return int(bool(broken))
    rows = [{"part": part, "point": outcome.point, "state": outcome.state} for part, outcome in told]
    print_table(rows, ("part", "point", "state"))
    for part, outcome in told:
        if outcome.state == "warning":
            click.echo(f"warning: {outcome.line(part)}", err=True)
    if broken:
        raise ContractError(broken)
    click.echo("no plugins are installed. Make one: zoo plugin new NAME" if not told else "all is well", err=True)
    return 0


@command.command()
@click.argument("name")
@click.option("--kind", default="head", show_default=True, help=f"What it is: {', '.join(SCAFFOLDS)}.")
@click.option(
    "--out", default=".", show_default=True, type=click.Path(file_okay=False), help="Folder to write it into."
)
@as_json
def new(name: str, kind: str, out: str, json_: bool) -> int:
    """Write a package with one part, its tests, a recipe and a README, ready to install and to publish.

    \b
    zoo plugin new paw --kind schedule
    """
    files = write_plugin(name, kind, Path(out))
    folder = Path(out) / name
    if json_:
        print_json({"name": name, "kind": kind, "folder": str(folder), "files": [str(file) for file in files]})
        return 0
    for file in files:
        click.echo(file)
    click.echo(f'next: cd {folder}, pip install -e ".[test]", pytest, zoo plugin check .')
    return 0
