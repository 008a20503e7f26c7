"""Losses of steps that the device may still be computing: read now and then, so that it need not wait for the host."""

import math
import time
from collections.abc import Mapping

import torch

READ_S = 0.5
"""Seconds of training between two readings, where reading makes the host wait."""
MOST = 100
"""Steps between two readings, at most."""
IMMEDIATE = {"cpu"}
"""Devices that have computed a loss by the time it is there to be read."""


class PendingLosses:
    """The losses since the last reading. every: after how many steps they are due; all processes must agree on it."""

    def __init__(self, device: torch.device) -> None:
        self.immediate, self.flush_interval, self.blocked, self.pace = device.type in IMMEDIATE, 1, 0.0, 0.0
        self.steps: list[tuple[Mapping[str, torch.Tensor], int, int]] = []
        self.since = time.perf_counter()

    def add(self, sums: Mapping[str, torch.Tensor], count: int, images: int) -> None:
        """Queue a step: `loss` and further terms summed over this process's `count` images, of `images` in all."""
        self.steps.append((sums, count, images))

    def __bool__(self) -> bool:
        return bool(self.steps)

    @property
    def should_flush(self) -> bool:
        return len(self.steps) >= self.flush_interval

    def flush(self) -> list[tuple[dict[str, float], int, int]]:
        """Return the queued steps with numbers for tensors. `blocked` grows by the seconds that this took."""
        start, steps = time.perf_counter(), self.steps
        values = iter(torch.cat([torch.stack(tuple(sums.values())) for sums, _, _ in steps]).tolist())
        now = time.perf_counter()
        self.blocked += now - start
        self.pace = (now - self.since) / len(steps)
        self.steps, self.since = [], now
        return [(dict(zip(sums, values, strict=False)), count, images) for sums, count, images in steps]

    @property
    def next_interval(self) -> int:
        """After how many steps this process would read again, by its pace since the last time but one."""
        return 1 if self.immediate else min(MOST, max(1, math.floor(READ_S / max(self.pace, 1e-9))))
