"""zoo list"""

import click

from zoo.cli.output import as_json, print_json, print_table

COLUMNS = {
    "backbones": ("name", "owner"),
    "heads": ("name", "owner", "summary"),
    "schedules": ("name", "owner", "summary"),
    "recipes": ("name", "owner", "summary"),
}


@click.command()
@click.argument("kind", type=click.Choice(list(COLUMNS)), default="recipes")
@click.argument("pattern", default="*")
@as_json
def command(kind: str, pattern: str, json_: bool) -> int:
    """List backbones, heads, schedules or recipes whose name matches a pattern.

    \b
    zoo list recipes
    zoo list backbones 'densenet*'
    """
    from zoo.verbs import listing

    rows = getattr(listing, f"list_{kind}")(pattern)
    if json_:
        print_json(rows)
    elif rows:
        print_table(rows, COLUMNS[kind])
    else:
        click.echo(f"no {kind} match '{pattern}'. See them all: zoo list {kind}", err=True)
    return int(not rows)
