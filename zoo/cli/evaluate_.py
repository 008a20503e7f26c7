"""zoo evaluate"""

import click

from zoo.cli.output import as_json, print_json, print_metrics


@click.command()
@click.argument("folder", metavar="RUN|MODEL", type=click.Path())
@click.argument("overrides", nargs=-1, metavar="[data.KEY=VALUE]...")
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="test",
    show_default=True,
    help="Split to measure.",
)
@as_json
def command(folder: str, overrides: tuple[str, ...], split: str, json_: bool) -> int:
    """Measure a run or a model folder on a split of its data, or of other data with the same classes.

    \b
    zoo evaluate runs/my-run
    zoo evaluate runs/my-run/model data.source=photos
    """
    from zoo.cli.console import Screen
    from zoo.verbs.evaluate import evaluate

    metrics = evaluate(folder, overrides, split, Screen())
    print_json(metrics) if json_ else print_metrics(metrics)
    return 0
