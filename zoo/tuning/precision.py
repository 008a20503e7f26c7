"""Precision and memory format, chosen by a few timed steps of the real model on this machine."""

from dataclasses import dataclass, field
from statistics import median

import torch

from zoo.config.recipe import Train
from zoo.distributed.processes import Processes, resolve_precision
from zoo.errors import ZooError
from zoo.training.setup import Setup
from zoo.tuning.benchmark import SPEED, ComputeFormat, measure_times
from zoo.tuning.trial_step import preserve_generators

FEWEST = 2
"""Steps of each way that a decision takes; with less the machine was too busy to measure."""
FASTER = 1.1
"""A way must be so much faster than a plainer one; less may be noise."""


@dataclass(frozen=True)
class PrecisionChoice:
    """The way taken, and the milliseconds of each measured step of every way that was tried."""

    compute_format: ComputeFormat
    ms: dict[str, list[float]] = field(default_factory=dict)

    def record(self) -> dict[str, float]:
        """Median milliseconds of a step by way, for `environment.json`."""
        return {name: round(median(milliseconds), 2) for name, milliseconds in self.ms.items() if milliseconds}


def describe_speedup(compute_format: ComputeFormat, ms: dict[str, float]) -> str:
    """A way and how many times as fast as the others it was: 'bf16 channels-last (measured: 1.3x fp32 channels-last)'."""
    others = [
        f"{ms[other] / ms[str(compute_format)]:.1f}x {other}"
        for other in ms
        if other != str(compute_format) and str(compute_format) in ms
    ]
    return f"{compute_format} (measured: {', '.join(others)})" if others else ""


def candidates(train: Train, device: torch.device) -> list[ComputeFormat]:
    """What the recipe leaves open on a device, the plainest first: what is taken where nothing is measured."""
    precisions = [resolve_precision(train.precision)]
    if train.precision == "auto" and (device.type == "cpu" or precisions == ["bf16"]):
        precisions.append("fp32" if precisions == ["bf16"] else "bf16")
    formats = [True, False] if train.channels_last == "auto" else [train.channels_last]
    return [ComputeFormat(precision, channels_last) for channels_last in formats for precision in precisions]


def decide(formats: list[ComputeFormat], ms: dict[str, list[float]]) -> ComputeFormat:
    """The way to take: a later one only if clearly faster, in the median and in its slowest step against the quickest."""
    best = formats[0]
    for compute_format in formats[1:]:
        own, other = ms.get(str(compute_format), []), ms.get(str(best), [])
        if min(len(own), len(other)) >= FEWEST and median(own) * FASTER <= median(other) and max(own) < min(other):
            best = compute_format
    return best


def choose(setup: Setup, processes: Processes) -> PrecisionChoice:
    """The fastest way that the recipe leaves open. Nothing of `setup` changes but the device the model is on.

    A sharded model is too large to be tried, and each process's shard of it is contiguous.
    """
    if processes.uses_fsdp(setup.recipe.train):
        return PrecisionChoice(ComputeFormat(resolve_precision(setup.recipe.train.precision), False))
    formats = candidates(setup.recipe.train, processes.device)
    if len(formats) == 1 or processes.device.type not in SPEED:
        return PrecisionChoice(formats[0])
    try:
        with preserve_generators(processes.device):
            ms = measure_times(setup, processes, formats)
    except ZooError:
        raise
    except Exception:  # a way that this model cannot go is no choice; if it can go none, training says so
        return PrecisionChoice(formats[0])
    if min(map(len, ms.values()), default=0) == 0 or len(ms[str(formats[0])]) < FEWEST:
        return PrecisionChoice(formats[0])
    return PrecisionChoice(decide(formats, ms), ms)
