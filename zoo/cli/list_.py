"""zoo list"""

import click

from zoo.cli.output import as_json, print_json, print_table
from zoo.errors import UnknownName

COLUMNS = {
    "backbones": ("name", "owner"),
    "heads": ("name", "owner", "summary"),
    "schedules": ("name", "owner", "summary"),
    "recipes": ("name", "owner", "summary"),
    "adapters": ("name", "owner", "summary"),
    "losses": ("name", "owner", "summary"),
    "optimizers": ("name", "owner", "summary"),
    "sources": ("name", "owner", "summary"),
}


def _kinds(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    return [kind for kind in COLUMNS if kind.startswith(incomplete)]


@click.command()
@click.argument("kind", default="recipes", metavar="[KIND]", shell_complete=_kinds)
@click.argument("pattern", default="*", metavar="[PATTERN]")
@as_json
def command(kind: str, pattern: str, json_: bool) -> int:
    """List recipes (unless said), or another kind of part, by name or pattern.

    Kinds: backbones, heads, schedules, recipes, adapters, losses, optimizers, sources.

    \b
    zoo list recipes
    zoo list backbones 'densenet*'
    """
    if kind not in COLUMNS:
        raise UnknownName("kind", kind, COLUMNS, "A name is looked for with its kind: zoo list backbones densenet")
    from zoo.verbs import listing

    rows = getattr(listing, f"list_{kind}")(pattern)
    if json_:
        print_json(rows)
    elif rows:
        print_table(rows, COLUMNS[kind])
    elif pattern == "*":
        click.echo(f"no {kind} are installed", err=True)
    else:
        click.echo(f"no {kind} match '{pattern}'. See them all: zoo list {kind}", err=True)
    return int(not rows)
