"""Trains a recipe, and ends with the first batch of the tasks named: with `epoch`, the first step of the optimiser.

python tools/bench/first_step.py quickstart features epoch
"""

import os
import sys
import tempfile
from pathlib import Path

import zoo
from zoo.reporting import Reporter


class First(Reporter):
    """Ends the process with the first batch of a task whose name begins like one of these."""

    def __init__(self, *wanted: str) -> None:
        self.wanted, self.task = wanted, ""

    def start(self, task: str, total: int, done: int = 0) -> None:
        self.task = task

    def advance(self, images: int, loss: float | None = None) -> None:
        if self.task.startswith(self.wanted):
            os._exit(0)


if __name__ == "__main__":
    out = Path(tempfile.mkdtemp(dir=Path.cwd())) / "run"
    zoo.finetune(sys.argv[1], out=out, reporter=First(*sys.argv[2:]))
