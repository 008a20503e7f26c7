"""Where training stands, and what it leaves."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch


@dataclass
class Progress:
    """Where training stands, always at an optimiser step. epoch and batch count within the phase and the epoch."""

    phase: int = 0
    epoch: int = 0
    batch: int = 0
    step: int = 0
    phase_step: int = 0
    epochs: int = 0
    waited: int = 0
    loss_sum: float = 0.0
    seen: float = 0.0
    seconds: float = 0.0
    best: float | None = None
    best_epoch: int = 0
    best_metrics: dict[str, Any] = field(default_factory=dict)

    def at_epoch(self) -> "Progress":
        """The same at the beginning of the next epoch."""
        return replace(self, epoch=self.epoch + 1, epochs=self.epochs + 1, batch=0, loss_sum=0.0, seen=0.0, seconds=0.0)

    def at_phase(self, phase: int) -> "Progress":
        """The same at the beginning of a phase."""
        return replace(self, phase=phase, epoch=0, batch=0, phase_step=0, waited=0, loss_sum=0.0, seen=0.0)


@dataclass
class TrainingResult:
    """The best weights, on the CPU, and how training went."""

    weights: dict[str, torch.Tensor]
    progress: Progress
