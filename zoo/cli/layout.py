"""A laid out schedule as a table on stdout."""

import click

from zoo.cli.console import span
from zoo.contracts import Phase
from zoo.verbs.schedule_layout import Layout

TEXT = ("trains", "rate", "")
"""Columns that start at the left; numbers end at the right."""
KINDS = {"norm": "only norms below the head", "bias": "only biases below the head"}
STATISTICS = {True: "statistics fixed", False: "statistics move"}


def print_layout(layout: Layout) -> None:
    """One row a phase: epochs, what trains, how many parameters (with a backbone), rates, what else is special."""
    plugin, groups, sizes = layout.plugin, layout.groups, layout.sizes
    on = f"{layout.backbone}, {sum(sizes):,} parameters" if sizes else "a backbone"
    click.echo(
        f"schedule {plugin.name} ({plugin.owner} {plugin.version}): {layout.recipe.train.epochs} epochs of {on} "
        f"in {len(groups)} groups"
    )
    columns = ["phase", "epochs", "trains", *(["parameters"] if sizes else []), "rate", ""]
    rows = [columns]
    for i, phase in enumerate(layout.phases):
        counts = [f"{layout.trainable[i]:,}"] if layout.trainable else []
        rows.append(
            [str(i + 1), str(phase.epochs), span(phase.trainable, groups), *counts, _rate(phase), _remarks(phase)]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(columns, row, widths, strict=True)
        click.echo("  ".join(t.ljust(w) if c in TEXT else t.rjust(w) for c, t, w in cells).rstrip())
    click.echo("rate: times optim.lr, at its peak in the phase")


def _rate(phase: Phase) -> str:
    rates = {g: f"{phase.lr_scale.get(g, 1.0):.2g}" for g in phase.trainable}
    first, last = phase.trainable[0], phase.trainable[-1]
    return rates[first] if len(set(rates.values())) == 1 else f"{first} {rates[first]} to {last} {rates[last]}"


def _remarks(phase: Phase) -> str:
    remarks = [
        KINDS.get(phase.parameters),
        phase.patience
        and f"ends after {phase.patience} epoch{'s' if phase.patience > 1 else ''} without a better metric",
        phase.lr_schedule and f"{phase.lr_schedule} rate",
        STATISTICS.get(phase.freeze_bn_stats),
    ]
    return ", ".join(remark for remark in remarks if remark)
