"""zoo probe"""

import click

from zoo.cli.finetune_ import recipe_names
from zoo.cli.output import as_json, print_json, print_table

METRICS = ("accuracy", "macro_f1", "auroc", "loss")


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
    from zoo.verbs import probe as verb

    rows = verb.probe(recipe, overrides, heads or verb.HEADS, rates or verb.RATES, decays, Screen())
    if json_:
        print_json(rows)
        return 0
    print_table(
        [{**row, **{name: f"{row[name]:.4f}" for name in METRICS if name in row}, **_failed(row)} for row in rows],
        ("head", "lr", "weight_decay", *METRICS, "best_epoch", "seconds"),
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


def _failed(row: dict) -> dict:
    """What stands in the first column of figures where there are none."""
    return {METRICS[0]: "diverged"} if "diverged" in row else {}
