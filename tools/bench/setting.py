"""How the rows are measured: sizes, rounds, the clock, and a folder that goes afterwards."""

import time
from dataclasses import dataclass
from pathlib import Path

import torch

MODELS = ("tf_efficientnet_lite0", "resnet18", "densenet121")
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class Setting:
    """What one run of the table keeps to.

    models: those named, () for each row's own; images: of the frozen rows' training set; epochs: of the linear probe.
    """

    folder: Path
    models: tuple[str, ...]
    rounds: int
    steps: int
    batch: int
    size: int
    images: int
    epochs: int
    precision: str
    clock: str
    source: Path | None

    def now(self) -> float:
        """Seconds by the clock, once the device has done what it was given."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return CLOCKS[self.clock]()

    def backbones(self, own: tuple[str, ...] = MODELS) -> tuple[str, ...]:
        """The models named, else a row's own."""
        return self.models or own

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    @property
    def trains(self) -> str:
        """The training set of the rows in which everything trains, in words."""
        return f"{self.size} px, batch {self.batch}, {self.precision}"
