"""zoo list"""

import click

from zoo.cli.output import as_json, print_json, print_table
from zoo.errors import UnknownName

COLUMNS = {
    "backbones": ("name", "owner"),
    "heads": ("name", "owner", "summary"),
    "schedules": ("name", "owner", "summary"),
    "recipes": ("name", "owner", "summary"),
}


def _kinds(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    return [kind for kind in COLUMNS if kind.startswith(incomplete)]


@click.command()
@click.argument("kind", default="recipes", metavar="[KIND]", shell_complete=_kinds)
@click.argument("pattern", default="*", metavar="[PATTERN]")
@as_json
def command(kind: str, pattern: str, json_: bool) -> int:
    """List backbones, heads, schedules or recipes (unless said: recipes) whose name matches a pattern.

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
    else:
        click.echo(f"no {kind} match '{pattern}'. See them all: zoo list {kind}", err=True)
    return int(not rows)
