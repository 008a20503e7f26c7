"""zoo reproduce"""

import click

from zoo.cli.output import as_json, print_json, print_table


@click.command()
@click.argument("name", metavar="USER/NAME[@REVISION]")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--out", type=click.Path(), help="Run folder to make.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=0.01,
    show_default=True,
    help="Difference in accuracy that is let pass.",
)
@as_json
def command(name: str, overrides: tuple[str, ...], out: str | None, tolerance: float, json_: bool) -> int:
    """Train a published recipe again and compare its test metrics with the published ones (exit code 1 if they differ).

    \b
    zoo reproduce ann/pets data.source=photos
    """
    from zoo.cli.console import Screen
    from zoo.verbs.reproduce import reproduce

    result = reproduce(name, overrides, out, tolerance, Screen())
    if json_:
        print_json(result)
    else:
        rows = [{k: v if isinstance(v, str) else f"{v:.4f}" for k, v in row.items()} for row in result["metrics"]]
        print_table(rows, ("metric", "published", "now", "difference"))
        click.echo(
            "reproduced"
            if result["reproduced"]
            else f"not reproduced: {result['judged_by']} is more than {tolerance:g} off"
        )
    return int(not result["reproduced"])
