"""When a run is saved, and that all its processes know whether it was."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo.distributed.processes import Processes
from zoo.training import checkpoint

SHARE = 50
"""At least this many times the duration of a save lies between two, so that saving costs 2 % at most."""

Snapshot = tuple[dict[str, checkpoint.Tensors], dict[str, Any]]
"""Tensors by file, and the rest, as `checkpoint.save` takes them."""


class CheckpointWriter:
    """Checkpoints in a folder, None to keep none; `every` so many seconds one is due, 0 for always."""

    def __init__(self, folder: Path | None, every: float, processes: Processes) -> None:
        self.folder, self.every, self.processes = folder, every, processes
        self.at, self.took = time.monotonic(), 0.0

    @property
    def is_due(self) -> bool:
        """By the main process's clock."""
        interval = max(self.every, SHARE * self.took if self.every else 0.0)
        return self.processes.is_main and time.monotonic() - self.at >= interval

    def save(self, step: int, snapshot: Callable[[], Snapshot]) -> None:
        """Write on the main process what `snapshot` gives, which all take together. A failure is every process's failure."""
        failure: Exception | None = None
        if self.folder is not None:
            began, (tensors, state) = time.monotonic(), snapshot()
            if self.processes.is_main:
                try:
                    checkpoint.save(self.folder, step, tensors, state)
                except Exception as error:
                    failure = error
            self.at, self.took = time.monotonic(), time.monotonic() - began
        failure = self.processes.broadcast(failure)
        if failure is not None:
            raise failure
