"""Decides whether torch.compile pays, by a trial on a copy of the model in runs that are long enough for it."""

import time
from statistics import median
from typing import Any

import torch

from zoo.distributed.processes import Processes
from zoo.errors import ZooError, first_line
from zoo.training.compiling import compile_module
from zoo.training.feature_plan import repeats_images
from zoo.training.plan import is_head_only
from zoo.training.setup import Setup
from zoo.tuning.benchmark import (
    ROUNDS,
    ComputeFormat,
    cache_key,
    count_passes,
    estimate_seconds,
    is_time,
    load_or_measure,
)
from zoo.tuning.precision import FASTER
from zoo.tuning.trial_step import TrialStep, preserve_generators

LONG_S = 3600.0
"""Runs expected to be shorter are not worth the minute or two that a trial takes, and compiling each phase again."""


def run_trial(setup: Setup, processes: Processes, compute_format: ComputeFormat, batch: int) -> dict[str, Any]:
    """Milliseconds of a training step as it is (`plain`) and `compiled`, or why that `failed`; {} where nothing is tried.

    Nothing is, where the recipe leaves nothing open, the run is too short, or features of a frozen part that a compiled
    model cannot keep save more.
    """
    try:
        if not _is_worth_it(setup, processes):
            return {}
        count = -(-batch // processes.size)
        with preserve_generators(processes.device):
            return load_or_measure(
                cache_key(setup, processes, ["compiled", str(compute_format)], count),
                lambda: _measure_trial(setup, processes, compute_format, count),
                lambda found: _is_whole(found, setup, processes, count),
            )
    except ZooError:
        raise
    except Exception:  # a step that fails is no trial; if it fails again, training says so
        return {}


def _is_worth_it(setup: Setup, processes: Processes) -> bool:
    recipe, phases = setup.recipe, [phase for phase in setup.phases if not is_head_only(phase)]
    if recipe.train.compile != "auto" or processes.uses_fsdp(recipe.train):
        return False
    if any(len(phase.trainable) < len(setup.groups) and repeats_images(phase, recipe) for phase in phases):
        return False
    return estimate_seconds(setup, processes) >= LONG_S


def _is_whole(found: dict[str, Any], setup: Setup, processes: Processes, count: int) -> bool:
    """Whether what was kept serves this run, too: what is too short to be tried may have been a shorter one."""
    if "failed" in found or not is_time(found["plain"]):
        return False
    return is_time(found["compiled"]) if "compiled" in found else _is_short(found["plain"], setup, processes, count)


def _is_short(step_ms: float, setup: Setup, processes: Processes, count: int) -> bool:
    return step_ms / 1000 * count_passes(setup) / count / processes.size < LONG_S


def pays(found: dict[str, Any]) -> bool:
    """Whether a trial found that the compiled step is clearly faster."""
    return "compiled" in found and found["compiled"] * FASTER <= found["plain"]


def describe_trial(measured: dict[str, Any]) -> str:
    """What a run's record says of the trial, in a line; "" where there was none."""
    found = measured.get("compile_ms", {})
    if "failed" in found:
        return f"not compiled, since torch.compile failed: {found['failed']}"
    if "compiled" not in found:
        return ""
    faster = found["plain"] / found["compiled"]
    return f"{'compiled' if pays(found) else 'not compiled'} (measured: {faster:.2f}x as fast compiled)"


def _measure_trial(setup: Setup, processes: Processes, compute_format: ComputeFormat, count: int) -> dict[str, Any]:
    trial_step = TrialStep(setup, processes.device)
    trial_step.arrange(compute_format.channels_last)
    inputs = trial_step.inputs(count, compute_format.channels_last)

    def step_ms() -> float:
        """The median of some steps, after one to warm up."""
        ms = []
        for _ in range(ROUNDS + 1):
            start = time.perf_counter()
            trial_step.step(inputs, compute_format.precision)
            ms.append(1000 * (time.perf_counter() - start))
        return round(median(ms[1:]), 2)

    found: dict[str, Any] = {"plain": step_ms()}
    if _is_short(found["plain"], setup, processes, count):
        return found
    try:
        trial_step.trained = compile_module(trial_step.trained, True)
        return found | {"compiled": step_ms()}
    except ZooError:
        raise
    except Exception as error:  # no compiler, or a model that it cannot take: then it is trained as it is
        return found | {"failed": first_line(error)}
    finally:
        torch.compiler.reset()
