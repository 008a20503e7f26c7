"""Printing: one JSON document or a table on stdout, everything else on stderr."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from zoo.tasks.metrics_table import measured

as_json = click.option("--json", "json_", is_flag=True, help="Print one JSON document on stdout.")


def print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Plain aligned columns: a header on a terminal, bare rows in a pipe; the last column is cut to fit a terminal."""
    texts = [[str(row.get(column, "")) for column in columns] for row in rows]
    on_terminal = sys.stdout.isatty()
    if on_terminal:
        texts.insert(0, [c.upper() for c in columns])
    widths = [max((len(row[i]) for row in texts), default=0) for i in range(len(columns))]
    limit = _terminal_width() if on_terminal else None
    for row in texts:
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        click.echo(line if limit is None or len(line) <= limit else line[: limit - 1] + "…")


def _terminal_width() -> int:
    from shutil import get_terminal_size

    return get_terminal_size().columns


def print_metrics(metrics: Mapping[str, Any]) -> None:
    """The result of a split as a small table, with its weakest classes."""
    source = f", from {metrics['source']} ({metrics['from']})" if "source" in metrics else ""
    click.echo(f"{metrics['split']}: {metrics['images']:,} images, {len(metrics['classes'])} classes{source}")
    for row, value in measured(metrics):
        click.echo(f"  {row.name:<19}{value:.4f}")
    weakest = sorted((v["f1"], k) for k, v in metrics["per_class"].items() if v["images"] and v["f1"] is not None)[:3]
    if len(metrics["per_class"]) > 3:
        click.echo("  weakest classes " + ", ".join(f"{name} (f1 {f1:.2f})" for f1, name in weakest))
