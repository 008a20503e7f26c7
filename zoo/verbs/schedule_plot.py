"""A schedule as a picture: groups over epochs, the learning rate as colour, frozen grey."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from zoo.contracts import HEAD
from zoo.errors import UsageError
from zoo.verbs.schedule_layout import Layout

FROZEN = "#d9d9d9"
DECADES = 3
"""Powers of ten that the colours span; rates below share the darkest."""
FEW = 40
"""Phase boundaries are drawn up to so many."""
HATCHES = {"norm": ("....", "only normalisation layers"), "bias": ("////", "only biases")}


def draw(layout: Layout, path: Path) -> None:
    """Write a PNG. Raises UsageError where it cannot be written."""
    figure = _figure(layout)
    try:
        FigureCanvasAgg(figure).print_png(path)
    except OSError as error:
        raise UsageError(f"--png: {path} cannot be written: {error.strerror}") from None


def _figure(layout: Layout) -> Figure:
    rates = np.array(layout.rates(), dtype=float)
    count, epochs = len(layout.groups), layout.recipe.train.epochs
    top = 10.0 ** math.ceil(math.log10(np.nanmax(rates)))
    bottom = top / 10**DECADES
    figure = Figure(figsize=(9, 2.2 + 0.32 * count), dpi=150, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
    axes = figure.add_subplot()
    axes.set_facecolor(FROZEN)
    image = axes.imshow(
        np.ma.masked_invalid(np.maximum(rates, bottom)),
        norm=LogNorm(bottom, top),
        extent=(0, epochs, -0.5, count - 0.5),
        origin="lower",  # the stem below, the head on top
        aspect="auto",
        interpolation="nearest",
    )
    axes.set_yticks(range(count), list(_labels(layout)))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epochs")
    axes.set_title(f"{layout.plugin.name}{_options(layout)} on {layout.backbone or 'any backbone'}", wrap=True)
    figure.colorbar(image, label="learning rate, times optim.lr", extend="min", pad=0.02, format="{x:g}")
    legend = [Patch(facecolor=FROZEN, edgecolor="grey", label="frozen"), *_lines(axes, layout), *_hatched(axes, layout)]
    figure.legend(handles=legend, loc="outside lower center", ncols=len(legend), frameon=False)
    return figure


def _labels(layout: Layout) -> Iterator[str]:
    for i, group in enumerate(layout.groups):
        yield group if layout.sizes is None else f"{group} ({_short(layout.sizes[i])})"


def _short(count: int) -> str:
    """'12.8 k', '6.9 M': a number of parameters."""
    return f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count / 1e3:.1f} k"


def _options(layout: Layout) -> str:
    given = ", ".join(f"{key}={value}" for key, value in layout.recipe.schedule.options.items())
    return f" ({given})" if given else ""


def _lines(axes: Axes, layout: Layout) -> list[Line2D]:
    """White lines between groups and phases, black dashes where patience may end a phase earlier; the legend's entry."""
    for row in range(1, len(layout.groups)):
        axes.axhline(row - 0.5, color="white", linewidth=0.6)
    ends = np.cumsum([phase.epochs for phase in layout.phases])
    for end in ends[:-1] if len(ends) <= FEW else ():
        axes.axvline(end, color="white", linewidth=1.2)
    dashes = {"color": "black", "linewidth": 1.2, "linestyle": (0, (4, 4))}
    patient = [end for end, phase in zip(ends, layout.phases, strict=True) if phase.patience]
    for end in patient:
        axes.axvline(end, **dashes)
    return [Line2D([], [], label="or earlier, when the metric stops", **dashes)] if patient else []


def _hatched(axes: Axes, layout: Layout) -> list[Patch]:
    """Hatch groups of which only norms or biases train; the legend's entries."""
    start, legend = 0, {}
    for phase in layout.phases:
        if phase.parameters != "all":
            hatch, meaning = HATCHES[phase.parameters]
            look = {"edgecolor": "white", "hatch": hatch, "linewidth": 0}
            legend[meaning] = Patch(facecolor="#3b528b", label=meaning, **look)
            for row, group in enumerate(layout.groups):
                if group in phase.trainable and group != HEAD:
                    axes.add_patch(Rectangle((start, row - 0.5), phase.epochs, 1, facecolor="none", **look))
        start += phase.epochs
    return list(legend.values())
