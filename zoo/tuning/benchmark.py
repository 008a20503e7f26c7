"""Training steps timed in one precision and memory format after another, and what the times depend on.

They are kept in the cache folder, so that a machine times a model once.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from statistics import median
from typing import Any, TypeVar

import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

from zoo.config.environment import device_name, plugins_used
from zoo.distributed.processes import Processes
from zoo.errors import ZooError
from zoo.models.mode import evaluating
from zoo.storage.atomic import write_text
from zoo.timm_index import cache_folder
from zoo.training.feature_plan import keeps_statistics
from zoo.training.plan import is_head_only
from zoo.training.setup import Setup
from zoo.tuning.trial_step import TrialStep, widest_phase

Found = TypeVar("Found", bound=dict)

SPEED = {"cpu": 1e10, "cuda": 1e13}
"""Operations per second that a core, or a GPU, does at least in training; they size what is measured, not what is chosen."""
SHORTEST_S = 20.0
"""Runs expected to be shorter are not worth measuring."""
SHARE, LEAST_S, MOST_S = 0.02, 2.0, 20.0
"""Part of the run's expected time that measuring may take, but so many seconds at least and at most."""
LARGEST = {"cpu": 16, "cuda": 256}
"""Images per measured step, where there is time for so many."""
ROUNDS = 4
HOPELESS = 1.25
"""A way so much slower than the best is not measured again."""


@dataclass(frozen=True)
class ComputeFormat:
    """How the arithmetic is done."""

    precision: str
    channels_last: bool

    def __str__(self) -> str:
        return f"{self.precision} {'channels-last' if self.channels_last else 'contiguous'}"


def measure_times(setup: Setup, processes: Processes, formats: list[ComputeFormat]) -> dict[str, list[float]]:
    """Milliseconds by way, as kept from an earlier run or measured; none where the run is too short."""
    seconds = estimate_seconds(setup, processes)
    if seconds < SHORTEST_S:
        return {}
    budget = min(MOST_S, max(LEAST_S, SHARE * seconds))
    images = int(budget / len(formats) / (ROUNDS + 1) * count_passes(setup) / processes.size / seconds)
    count = max(
        2, min(images, LARGEST[processes.device.type], -(-setup.recipe.data.images_per_batch // processes.size))
    )
    names = list(map(str, formats))
    return load_or_measure(
        cache_key(setup, processes, names, count),
        lambda: time_steps(TrialStep(setup, processes.device), formats, count, budget),
        lambda ms: list(ms) == names and all(map(is_time, chain(*ms.values()))) and _is_complete(ms),
    )


def estimate_seconds(setup: Setup, processes: Processes) -> float:
    """What the run takes at most, by its operations; 0 on devices of unknown speed."""
    kind = processes.device.type
    if kind not in SPEED:
        return 0.0
    speed = SPEED[kind] * (torch.get_num_threads() if kind == "cpu" else 1)
    return (
        3 * count_operations(setup, processes.device) * count_passes(setup) / processes.size / speed
    )  # backward costs about twice forward


def count_operations(setup: Setup, device: torch.device) -> int:
    """Floating-point operations of a forward pass of one image: the same on every machine, unlike its time."""
    model, shape = setup.model.to(device), (setup.transform.channels, setup.transform.size, setup.transform.size)
    with evaluating(model), FlopCounterMode(display=False) as counter:  # which fails on views made without gradients
        model(torch.zeros(1, *shape, device=device))
    return max(1, counter.get_total_flops())


def count_passes(setup: Setup) -> float:
    """Images trained on in the whole run; a phase of the head alone computes its features once, a third of a step."""
    epochs = sum(phase.epochs for phase in setup.phases if not is_head_only(phase))
    return len(setup.data.splits["train"]) * (epochs + 1 / 3)


def time_steps(
    trial_step: TrialStep, formats: list[ComputeFormat], count: int, budget_s: float
) -> dict[str, list[float]]:
    """Milliseconds of steps of `count` images, the ways in turn, after one step each to warm up."""
    began, ms = time.perf_counter(), {str(compute_format): [] for compute_format in formats}
    inputs = {compute_format: trial_step.inputs(count, compute_format.channels_last) for compute_format in formats}
    for number in range(ROUNDS + 1):
        for compute_format in formats:
            if time.perf_counter() - began > budget_s:
                return ms
            trial_step.arrange(compute_format.channels_last)
            start = time.perf_counter()
            trial_step.step(inputs[compute_format], compute_format.precision)
            if number:
                ms[str(compute_format)].append(1000 * (time.perf_counter() - start))
        if number:
            best = min(median(ms[str(compute_format)]) for compute_format in formats)
            formats = [
                compute_format
                for compute_format in formats
                if compute_format is formats[0] or median(ms[str(compute_format)]) < HOPELESS * best
            ]
    return ms


def _is_complete(ms: dict[str, list[float]]) -> bool:
    """Whether there was time for every step: the first way is never dropped, the others not untried."""
    steps = list(ms.values())
    return len(steps[0]) == ROUNDS and all(steps)


def load_or_measure(key: str, measuring: Callable[[], Found], is_whole: Callable[[Found], bool]) -> Found:
    """What was found under a key in an earlier run; where there is nothing, or it cannot be right, what measuring finds."""
    path = cache_folder() / "speed" / f"{key}.json"
    with suppress(OSError, ValueError, TypeError, LookupError, AttributeError):
        found = json.loads(path.read_text(encoding="utf-8"))
        if is_whole(found):
            return found
    found = measuring()
    if is_whole(found):
        with suppress(ZooError):  # a cache that cannot be written is no fault
            write_text(path, json.dumps(found))
    return found


def is_time(value: Any) -> bool:
    """Whether a value from a file can be a time."""
    return isinstance(value, float) and 0 < value < math.inf


def cache_key(setup: Setup, processes: Processes, measured: list[str], count: int) -> str:
    """A hash of everything that times of steps of `count` images depend on."""
    recipe, phase = setup.recipe, widest_phase(setup)
    facts: dict[str, Any] = {
        "model": [
            recipe.model.model_dump(exclude={"pretrained"}),
            [(name, p.shape) for name, p in setup.model.named_parameters()],
        ],
        "parts": plugins_used(recipe),
        "training": [recipe.optim.options, recipe.train.loss.model_dump()],
        "phase": [phase.trainable, phase.parameters, keeps_statistics(phase, recipe)],
        "images": [count, setup.transform.channels, setup.transform.size, len(setup.data.classes)],
        "machine": [device_name(processes.device), torch.get_num_threads(), processes.size],
        "versions": [torch.__version__, timm.__version__],
        "measured": [measured, ROUNDS],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=repr).encode()).hexdigest()[:32]
