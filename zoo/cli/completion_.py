"""zoo completion"""

import click
from click.shell_completion import get_completion_class

from zoo.cli.output import as_json, print_json


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@as_json
def command(shell: str, json_: bool) -> int:
    """Print the completion script of a shell.

    \b
    zoo completion bash >> ~/.bashrc
    """
    from zoo.cli import cli

    script = get_completion_class(shell)(cli, {}, "zoo", "_ZOO_COMPLETE").source()
    print_json({"shell": shell, "script": script}) if json_ else click.echo(script)
    return 0
