"""zoo plugins"""

import click

from zoo.cli.output import as_json, print_json, print_table

COLUMNS = ("kind", "name", "owner", "version", "contract", "state")


@click.command()
@as_json
def command(json_: bool) -> int:
    """List every registered part, its owner, the contract it was written for, and its state.

    Each distribution's parts are imported in a process of their own, which may take ZOO_PLUGIN_TIMEOUT_S seconds (60).
    ZOO_PLUGINS=a,b keeps these distributions and the zoo's own; ZOO_PLUGINS= keeps the zoo's own only.
    """
    from zoo.verbs.inspection import inspect

    rows = inspect()
    if json_:
        print_json(rows)
    else:
        print_table([{**row, "state": ": ".join(filter(None, (row["state"], row["error"])))} for row in rows], COLUMNS)
    return 0
