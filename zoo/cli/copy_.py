"""zoo copy"""

from pathlib import Path

import click

from zoo.cli.output import as_json, print_json
from zoo.errors import UsageError


@click.command()
@click.argument("recipe")
@click.argument("file", type=click.Path(dir_okay=False))
@as_json
def command(recipe: str, file: str, json_: bool) -> int:
    """Copy a recipe to a file of your own, comments included.

    \b
    zoo copy cifar10-densenet mine.yaml
    """
    from zoo.config.catalog import find_recipe

    source, target = find_recipe(recipe), Path(file)
    target = target if target.suffix in (".yaml", ".yml") else target.with_name(target.name + ".yaml")
    try:
        with target.open("xb") as copy:
            copy.write(source.read_bytes())
    except FileExistsError:
        raise UsageError(f"'{target}' exists and is left as it is; name another file") from None
    except OSError as error:
        raise UsageError(f"'{target}' cannot be written: {error.strerror}") from None
    if json_:
        print_json({"recipe": recipe, "file": str(target)})
    else:
        click.echo(f"{target}\nnext: edit it, then zoo check {target}")
    return 0
