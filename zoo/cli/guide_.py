"""zoo guide"""

import sys
from dataclasses import asdict

import click

from zoo.cli.output import as_json, print_json

WIDTH = 100
"""Columns of text at most, also on a wide terminal."""


def _pages(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from zoo.verbs.guide import NAMES

    return [name for name in NAMES if name.startswith(incomplete)]


@click.command()
@click.argument("page", required=False, metavar="[PAGE]", shell_complete=_pages)
@as_json
def command(page: str | None, json_: bool) -> int:
    """Read the guide: a page by its name, or the list of pages.

    A terminal shows the page formatted; a pipe receives its Markdown.

    \b
    zoo guide
    zoo guide data
    """
    from zoo.verbs import guide

    chosen = guide.pages() if page is None else [guide.page(page)]
    if json_:
        print_json([asdict(each) for each in chosen])
    elif page is None:
        for each in chosen:
            click.echo(f"{each.name:<14}{each.summary}")
        click.echo(f"next: zoo guide {chosen[0].name}", err=True)
    else:
        _print(chosen[0].text)
    return 0


def _print(text: str) -> None:
    """Markdown, formatted where stdout is a terminal."""
    if not sys.stdout.isatty():
        click.echo(text, nl=False)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    console.print(Markdown(text, code_theme="ansi_dark"), width=min(WIDTH, console.width))
