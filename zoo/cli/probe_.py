"""zoo probe"""

import click

from zoo.cli.output import as_json, print_json, print_table
from zoo.cli.training import recipe_names
from zoo.tasks.metrics_table import METRICS


@click.command()
@click.argument("recipe", metavar="NAME|PATH", shell_complete=recipe_names)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--head", "heads", multiple=True, help="A head to try, several times for several; linear, mlp and attention."
)
@click.option("--lr", "rates", multiple=True, type=float, help="A learning rate to try; 3e-4, 1e-3 and 3e-3.")
@click.option("--weight-decay", "decays", multiple=True, type=float, help="A weight decay to try; the recipe's own.")
@as_json
def command(
    recipe: str,
    overrides: tuple[str, ...],
    heads: tuple[str, ...],
    rates: tuple[float, ...],
    decays: tuple[float, ...],
    json_: bool,
) -> int:
    """Compare heads and settings on a recipe's frozen backbone, whose features are computed once for all.

    \b
    zoo probe quickstart
    zoo probe images data.source=photos --head linear --head gru --lr 1e-3 --lr 1e-2
    """
    from shlex import quote

    from zoo.cli.console import Screen
    from zoo.config.loading import load_recipe
    from zoo.verbs import probe as verb

    rows = verb.probe(recipe, overrides, heads or verb.HEADS, rates or verb.RATES, decays, Screen())
    if json_:
        print_json(rows)
        return 0
    chosen = load_recipe(recipe, [*overrides, "schedule=linear-probe"]).train.best_by
    found = [row for row in METRICS if any(row.name in line for line in rows)]
    shown = [row.name for row in found if row.headline or row.name == chosen]  # `auto` is a headline
    print_table(
        [{**row, **{name: f"{row[name]:.4f}" for name in shown if name in row}, **_failed(row, shown)} for row in rows],
        ("head", "lr", "weight_decay", *shown, "best_epoch", "seconds"),
    )
    best = rows[0]
    settings = (
        *overrides,
        f"model.head.name={best['head']}",
        f"optim.lr={best['lr']:g}",
        f"optim.weight_decay={best['weight_decay']:g}",
    )
    click.echo(f"next: zoo finetune --recipe {quote(recipe)} {' '.join(map(quote, settings))}", err=True)
    return 0


def _failed(row: dict, shown: list[str]) -> dict:
    """What stands in the first column of figures where there are none."""
    return {shown[0]: "diverged"} if "diverged" in row else {}
