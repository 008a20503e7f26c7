"""Pictures of a run as PNG: the confusion matrix and the training curves."""

import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from zoo.tasks import metrics_table
from zoo.tasks.metrics_table import current

MANY = 30
"""With more classes than this a confusion matrix shows neither names nor numbers."""


def draw_confusion(file: Path, matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> None:
    """The share of each true class (rows) that was given each class (columns). matrix: counts (K, K)."""
    counts = np.asarray(matrix, float)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    few = len(classes) <= MANY
    side = max(4.5, min(14.0, 0.5 * len(classes) + 2)) if few else 9.0
    figure, axes = _figure(side + 1, side)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    number = "" if few else ", by its number"
    axes.set(xlabel=f"predicted class{number}", ylabel=f"true class{number}", title="Share of each true class")
    if few:
        names = [_short(name) for name in classes]
        axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
        axes.set_yticks(range(len(names)), names)
        for i, j in np.ndindex(shares.shape):
            if counts[i, j]:
                axes.text(j, i, f"{shares[i, j]:.2f}".lstrip("0") if shares[i, j] < 1 else "1", ha="center", va="center",
                          fontsize=8, color="white" if shares[i, j] > 0.5 else "black")  # fmt: skip
    figure.colorbar(image, ax=axes, fraction=0.04)
    _save(figure, file)


def draw_curves(file: Path, events: Sequence[Mapping[str, Any]], metric: str) -> None:
    """Training and validation loss, and the validation metric that chose the weights, by epoch; phases are marked."""
    epochs = [event for event in events if event.get("event") == "epoch"]
    number = [event["epoch"] for event in epochs]
    figure, (loss, score) = _figure(9, 3.6, columns=2)
    loss.plot(number, [e["train_loss"] for e in epochs], "o-", label="training", markersize=3)
    loss.plot(number, [e["validation"]["loss"] for e in epochs], "o-", label="validation", markersize=3)
    loss.set(xlabel="epoch", title="loss")
    chosen = [current(e["validation"]).get(metric) for e in epochs]
    score.plot(number, [float("nan") if v is None else v for v in chosen], "o-", color="tab:green", markersize=3)
    score.set(xlabel="epoch", title=f"validation {metrics_table.metric(metric).title}")
    for axes in (loss, score):
        axes.grid(alpha=0.3)
        axes.locator_params(axis="x", integer=True)
        for before, after in pairwise(epochs):
            if before["phase"] != after["phase"]:
                axes.axvline(before["epoch"] + 0.5, color="grey", linestyle=":", label=f"phase {after['phase']} begins")
    loss.legend()
    _save(figure, file)


def _figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    """A figure that needs no screen, and its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns)


def _save(figure: Any, file: Path) -> None:
    """The same picture is the same file; letters that the font lacks are drawn as boxes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(file, dpi=110, metadata={"Software": None})


def _short(name: str) -> str:
    """A class name as a label; `$` would begin a formula."""
    name = " ".join(name.split()).replace("$", r"\$")
    return name if len(name) <= 24 else f"{name[:23]}…"
