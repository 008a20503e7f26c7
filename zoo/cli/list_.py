"""zoo list"""

import click

from zoo.cli.output import as_json, print_json, print_table
from zoo.errors import UnknownName
from zoo.verbs.listing import COLUMNS, list_rows

HELP = f"""List recipes (unless said), or another kind of part, by name or pattern.

Kinds: {", ".join(COLUMNS)}.

\b
zoo list recipes
zoo list backbones 'densenet*'
"""


def _kinds(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    return [kind for kind in COLUMNS if kind.startswith(incomplete)]


@click.command(help=HELP)
@click.argument("kind", default="recipes", metavar="[KIND]", shell_complete=_kinds)
@click.argument("pattern", default="*", metavar="[PATTERN]")
@as_json
def command(kind: str, pattern: str, json_: bool) -> int:
    """Print one list, as a table or as JSON."""
    if kind not in COLUMNS:
        raise UnknownName("kind", kind, COLUMNS, "A name is looked for with its kind: zoo list backbones densenet")
    rows = list_rows(kind, pattern)
    if json_:
        print_json(rows)
    elif rows:
        print_table(rows, COLUMNS[kind])
    else:
        click.echo(f"no {kind} match '{pattern}'. See them all: zoo list {kind}", err=True)
    return int(not rows)
