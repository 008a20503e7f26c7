"""zoo evaluate"""

import click

from zoo.cli.output import as_json, print_json, print_metrics


@click.command()
@click.argument("model", metavar="RUN|MODEL", type=click.Path())
@click.argument("overrides", nargs=-1, metavar="[data.KEY=VALUE]...")
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="test",
    show_default=True,
    help="Split to measure.",
)
@as_json
def command(model: str, overrides: tuple[str, ...], split: str, json_: bool) -> int:
    """Measure a run or a model on a split of its data, or of other data with the same classes.

    MODEL is a model folder, hf-hub:user/name, or the name of a backbone with ImageNet's classes.

    \b
    zoo evaluate runs/my-run
    zoo evaluate runs/my-run/model data.source=photos
    zoo evaluate lite0 data.source=photos
    """
    from zoo.cli.console import Screen
    from zoo.verbs.evaluate import evaluate

    metrics = evaluate(model, overrides, split, Screen())
    print_json(metrics) if json_ else print_metrics(metrics)
    return 0
