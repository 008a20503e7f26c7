"""zoo check"""

import click

from zoo.cli.output import as_json, print_json
from zoo.errors import RecipeError


@click.command()
@click.argument("recipe", metavar="NAME|PATH")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@as_json
def command(recipe: str, overrides: tuple[str, ...], json_: bool) -> int:
    """Find every fault of a recipe at once: unknown keys, names and options, wrong types, with file and line.

    The plugins that it names are imported, each in a process of its own.

    \b
    zoo check mine.yaml
    """
    from zoo.config.loading import load_recipe
    from zoo.verbs.inspection import recipe_faults

    try:
        if broken := recipe_faults(load_recipe(recipe, overrides)):
            raise RecipeError(f"{recipe}: {fault}" for fault in broken)
    except RecipeError as error:
        if not json_:
            raise
        print_json({"recipe": recipe, "ok": False, "faults": list(error.faults)})
        return error.exit_code
    print_json({"recipe": recipe, "ok": True, "faults": []}) if json_ else click.echo(f"{recipe}: no faults")
    return 0
