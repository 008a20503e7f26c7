"""zoo push"""

import sys
from collections.abc import Mapping
from typing import Any

import click

from zoo.cli.output import as_json, print_json

TIMM = {
    "model": "loads the whole model",
    "features": "loads the features; the head is zoo's",
    "nothing": "cannot load it; zoo can",
}


@click.command()
@click.argument("source", metavar="RUN|MODEL", type=click.Path())
@click.argument("repo", required=False, metavar="[USER/NAME]")
@click.option("--public/--private", default=False, help="Who may see a new repository. [default: private]")
@click.option("--message", help="Message of the commit.")
@click.option("--tag", help="Name this version, as in v1.0.")
@click.option("--branch", help="Push to this branch, made if it is new.")
@click.option("--create-pr", is_flag=True, help="Open a pull request instead of changing the repository.")
@click.option("--dry-run", is_flag=True, help="Stage, check and show; needs no network and no token.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
def command(source: str, repo: str | None, dry_run: bool, yes: bool, json_: bool, **options: Any) -> int:
    """Publish a run or a model on the Hugging Face Hub: checked before, one commit, compared after.

    \b
    zoo push runs/my-run ann/pets
    zoo push runs/my-run ann/pets --dry-run
    """
    from zoo.cli.console import Screen
    from zoo.hub.repository import Destination
    from zoo.verbs.push import push

    def confirm(plan: Mapping[str, Any]) -> bool:
        _show(plan)
        return yes or click.confirm("Push?", err=True)

    if not (yes or dry_run or sys.stdin.isatty()):
        raise click.UsageError("nobody is there to answer; say --yes", click.get_current_context())
    result = push(source, Destination(repo or "", **options), dry_run=dry_run, confirm=confirm, reporter=Screen())
    if dry_run:
        _show(result)
    if json_:
        print_json(result)
    elif result["pushed"]:
        click.echo(result["url"])
        click.echo(result["load"])
    return 0


def _show(plan: Mapping[str, Any]) -> None:
    """What would be published, on stderr."""
    state = f"{'exists' if plan['exists'] else 'new'}, {plan['visibility']}"
    checked = ", ".join(f"{how} differs by {value:.1g}" for how, value in plan["differences"].items())
    lines = [
        f"to       {plan['endpoint']}/{plan['repository'] or 'user/name'} ({state})",
        f"licence  {plan['licence']} (of the weights that training started from)",
        f"checked  {checked}, in a fresh process",
        f"timm     {TIMM[plan['plain_timm']]}",
        *(
            f"{'files' if not i else '':<9}{_size(size):>10}  {name}"
            for i, (name, size) in enumerate(plan["files"].items())
        ),
    ]
    click.echo("\n".join(lines), err=True)


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"
