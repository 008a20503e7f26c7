"""zoo plugins"""

import click

from zoo.cli.output import as_json, print_json, print_table
from zoo.errors import PluginError


@click.command()
@click.option("--load", is_flag=True, help="Import each one, which finds more faults and takes longer.")
@as_json
def command(load: bool, json_: bool) -> int:
    """List every registered backbone, head, schedule and recipe package, its owner and its state.

    ZOO_PLUGINS=a,b keeps these distributions and the zoo's own; ZOO_PLUGINS= keeps the zoo's own only.
    """
    from zoo.plugins import KINDS, installed

    rows = [
        {
            "kind": p.kind,
            "name": p.name,
            "owner": p.owner,
            "version": p.version,
            "target": p.target,
            "state": _state(p, load),
        }
        for kind in KINDS
        for p in installed(kind)
    ]
    print_json(rows) if json_ else print_table(rows, ("kind", "name", "owner", "version", "state"))
    return 0


def _state(plugin, load: bool) -> str:
    """'ok', or what is wrong, found from the source alone unless `load`."""
    from zoo.catalog import recipes
    from zoo.signature import locate, signature

    if plugin.kind == "recipe":
        found = any(recipe.owner == plugin.owner for recipe in recipes())
        return "ok" if found else f"no YAML files in {plugin.target}"
    try:
        if load:
            plugin.load()
        elif locate(module := plugin.target.partition(":")[0]) is None:
            return f"module {module} is missing"
        else:
            signature(plugin)
    except PluginError as error:
        return str(error)
    return "ok"
