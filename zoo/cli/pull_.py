"""zoo pull"""

from shlex import quote

import click

from zoo.cli.output import as_json, print_json


@click.command()
@click.argument("name", metavar="USER/NAME[@REVISION]")
@click.option("--to", type=click.Path(), help="Folder to make. [default: ./NAME]")
@as_json
def command(name: str, to: str | None, json_: bool) -> int:
    """Fetch a model from the Hugging Face Hub into a folder, every byte and its configuration checked.

    \b
    zoo pull ann/pets
    zoo pull ann/pets@v1.0 --to pets
    """
    from zoo.verbs.pull import pull

    result = pull(name, to)
    if json_:
        print_json(result)
    else:
        about = f"{len(result['classes'])} classes, {result['parameters'] / 1e6:.1f} M parameters"
        click.echo(f"{result['repository']}@{result['revision'][:12]} in {result['folder']}: {about}")
        click.echo(f"next: zoo predict {quote(str(result['folder']))} PICTURE...", err=True)
    return 0
