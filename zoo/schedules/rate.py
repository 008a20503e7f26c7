"""The learning rate within a phase, a pure function of the step."""

import math


def lr_factor(step: int, total: int, warmup: int, shape: str) -> float:
    """Factor of the peak rate at `step` (from 0) of `total`: linear warm-up, then cosine or linear to 0, or constant."""
    warmup = min(warmup, total // 2)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, total - warmup)
    match shape:
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * progress))
        case "linear":
            return 1 - progress
    return 1.0
