"""Where training stands, and what it leaves."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
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
    terms: dict[str, float] = field(default_factory=dict)
    """Sums over the epoch of what a method logs besides its loss."""

    def begin_epoch(self) -> None:
        """Stand at the beginning of the next epoch."""
        self.epoch, self.epochs, self.batch = self.epoch + 1, self.epochs + 1, 0
        self.loss_sum = self.seen = self.seconds = 0.0
        self.terms = {}

    def begin_phase(self, phase: int) -> None:
        """Stand at the beginning of a phase."""
        self.phase, self.epoch, self.batch, self.phase_step, self.waited = phase, 0, 0, 0, 0
        self.loss_sum = self.seen = 0.0
        self.terms = {}

    def add(self, sums: Mapping[str, float], images: int) -> None:
        """Take up a step: `loss` and further terms, summed over this process's images."""
        self.loss_sum, self.seen = self.loss_sum + sums["loss"], self.seen + images
        for name, value in sums.items():
            if name != "loss":
                self.terms[name] = self.terms.get(name, 0.0) + value

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """What a checkpoint keeps: no tensors, and every field."""
        return {}, asdict(self)

    def load(self, tensors: Mapping[str, torch.Tensor], value: Mapping[str, Any]) -> None:
        """Take up the fields of a checkpoint."""
        self.__init__(**value)  # type: ignore[misc]


class BestWeights:
    """The weights of the best epoch so far, on the CPU; empty before the first validation."""

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}

    def state(self) -> tuple[dict[str, torch.Tensor], None]:
        """What a checkpoint keeps: the weights."""
        return self.tensors, None

    def load(self, tensors: Mapping[str, torch.Tensor], value: None) -> None:
        """Take up the weights of a checkpoint."""
        self.tensors = dict(tensors)


@dataclass
class TrainingResult:
    """The best weights, on the CPU, and how training went."""

    weights: dict[str, torch.Tensor]
    progress: Progress
