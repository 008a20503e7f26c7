"""What a run tells while it works. The base class is silent; the command line draws it."""

from collections.abc import Mapping
from typing import Any


class Reporter:
    """Receives what happens, in order: plan, then for each phase its epochs, then the result."""

    def note(self, text: str) -> None:
        """One line of information."""

    def warn(self, text: str) -> None:
        """One line that the user should see."""

    def plan(self, plan: Mapping[str, Any]) -> None:
        """What is about to happen: model, data, phases with trainable parameters, steps and seconds."""

    def start(self, task: str, total: int, done: int = 0) -> None:
        """A countable task begins: `total` images, `done` of them already."""

    def advance(self, images: int, loss: float | None = None) -> None:
        """Some images of the current task are done."""

    def finish(self) -> None:
        """The current task ended or was given up."""

    def epoch(self, line: Mapping[str, Any]) -> None:
        """An epoch is over: the same mapping that `metrics.jsonl` gets."""
