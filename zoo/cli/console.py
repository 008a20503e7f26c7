"""What a run draws on stderr: the plan, a progress bar with images/s and time left, one line an epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from zoo.reporting import Reporter
from zoo.tasks.metrics_table import measured

SLOW_DATA = 0.3
"""Share of an epoch spent waiting for images above which advice is given, once a run."""
ADVICE = (
    "the model waits for images: data.in_memory=true decodes them once, a smaller data.image_size decodes less, "
    "data.workers=null takes every core. More: zoo doctor --data RECIPE"
)

SPLITS = {"train": "training", "validation": "validation", "test": "test"}
"""What the images of each split are called."""


class Screen(Reporter):
    """Draws on stderr; without a terminal it prints the plan and the epoch lines only."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.progress: Progress | None = None
        self.advised = False

    def note(self, text: str) -> None:
        self.console.print(text, style="dim", markup=False)

    def warn(self, text: str) -> None:
        self.console.print(f"warning: {text}", style="yellow", markup=False)

    def plan(self, plan: Mapping[str, Any]) -> None:
        images, print_ = plan["images"], lambda text: self.console.print(text, markup=False)
        head = f" + {plan['head']}" if plan["classes"] else ""
        classes = f"{plan['classes']} classes" if plan["classes"] else "without labels"
        print_(
            f"{plan['backbone']}{head} ({plan['parameters'] / 1e6:.1f} M parameters) on {plan['source']} ({classes})"
        )
        counts = [f"{count:,} {SPLITS[split]}" for split, count in images.items()]
        processes = f"{plan['processes']} processes, " if plan["processes"] > 1 else ""
        print_(
            f"{', '.join(counts)} images, "
            f"{plan['image_size']} px, batches of {plan['batch_size']}; {processes}{plan['device']}, {plan['precision']}; "
            f"about {in_bytes(plan['memory_bytes']['weights_and_optimiser'])} for weights and optimiser, "
            f"{in_bytes(plan['memory_bytes']['images'])} for images"
        )
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for column, side in (
            ("phase", "right"),
            ("epochs", "right"),
            ("trains", "left"),
            ("parameters", "right"),
            ("steps", "right"),
            ("about", "right"),
            ("", "left"),
        ):
            table.add_column(column, justify=side)
        for number, phase in enumerate(plan["phases"], 1):
            trains = span(phase["trains"], list(plan["groups"]))
            trains += {"norm": ", below the head norms only", "bias": ", below the head biases only"}.get(
                phase["kind"], ""
            )
            table.add_row(
                str(number),
                str(phase["epochs"]),
                trains,
                f"{phase['parameters']:,}",
                f"{phase['steps']:,}",
                duration(phase["seconds"]),
                "cached features" if phase["cached_features"] else "",
            )
        self.console.print(table)
        print_(f"about {duration(plan['seconds'])} in all")

    def start(self, task: str, total: int, done: int = 0) -> None:
        self.finish()
        if not self.console.is_terminal:
            return
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("images"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[loss]}"),
            console=self.console,
            transient=True,
        )
        self.task = self.progress.add_task(task, total=total, completed=done, speed="", loss="")
        self.progress.start()

    def advance(self, images: int, loss: float | None = None) -> None:
        if self.progress is not None:
            speed = self.progress.tasks[0].speed
            self.progress.update(
                self.task,
                advance=images,
                speed=f"{speed:,.0f} images/s" if speed else "",
                loss="" if loss is None else f"loss {loss:.3f}",
            )

    def finish(self) -> None:
        if self.progress is not None:
            self.progress.stop()
            self.progress = None

    def epoch(self, line: Mapping[str, Any]) -> None:
        shown = "  ".join(f"{row.name} {value:.4f}" for row, value in measured(line["validation"]) if row.headline)
        waiting = line["waiting"] if line["streamed"] else 0.0
        waited = f"  {waiting:.0%} waiting for data".replace("%", " %") if waiting >= 0.05 else ""
        best = "  best" if line["best"] else ""
        self.console.print(
            f"epoch {line['epoch']:>3}  phase {line['phase']}  training loss {line['train_loss']:.4f}  validation {shown}  "
            f"{line['images_per_s']:,.0f} images/s{waited}{best}",
            markup=False,
        )
        if waiting > SLOW_DATA and not self.advised:
            self.advised = True
            self.note(ADVICE)


def span(chosen: Sequence[str], groups: Sequence[str]) -> str:
    """'everything', 'stage3 to head', or the groups by name where there are gaps."""
    if len(chosen) == len(groups):
        return "everything"
    ordered = [g for g in groups if g in chosen]
    start = groups.index(ordered[0])
    together = len(ordered) > 1 and ordered == list(groups[start : start + len(ordered)])
    return f"{ordered[0]} to {ordered[-1]}" if together else ", ".join(ordered)


def in_bytes(count: float) -> str:
    """'54 MB', '1.2 GB'."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6))} MB"


def duration(seconds: float) -> str:
    """'45 s', '3 min 20 s', '2 h 05 min'."""
    seconds = max(1, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
