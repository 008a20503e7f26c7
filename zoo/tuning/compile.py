"""torch.compile: how a model is compiled, and whether it pays, tried on a copy in runs long enough for the trial."""

import time
from statistics import median
from typing import Any

import torch
from torch import nn

from zoo.distributed.processes import Processes
from zoo.errors import ZooError, first_line
from zoo.training.feature_plan import repeats
from zoo.training.plan import is_head_only
from zoo.training.setup import Setup
from zoo.tuning.benchmark import ROUNDS, ComputeFormat, expected_seconds, is_time, kept, key, passes
from zoo.tuning.precision import FASTER
from zoo.tuning.trial_step import TrialStep, same_generators

LONG_S = 3600.0
"""Runs expected to be shorter are not worth the minute or two that a trial takes, and compiling each phase again."""


def compiled(module: nn.Module, how: bool | str) -> nn.Module:
    """The module compiled: True for torch's default mode, else the mode's name; itself for False, or while it is open.

    What was compiled before is forgotten: of one piece of code, at most eight variants would be, and each phase is one.
    """
    if how in (False, "auto"):
        return module
    torch.compiler.reset()
    return torch.compile(module, mode=None if how is True else how)


def trial(parts: Setup, processes: Processes, way: ComputeFormat, batch: int) -> dict[str, Any]:
    """Milliseconds of a training step as it is (`plain`) and `compiled`, or why that `failed`; {} where nothing is tried.

    Nothing is, where the recipe leaves nothing open, the run is too short, or features of a frozen part that a compiled
    model cannot keep save more.
    """
    try:
        if not _is_worth_it(parts, processes):
            return {}
        count = -(-batch // processes.size)
        with same_generators(processes.device):
            return kept(
                key(parts, processes, ["compiled", str(way)], count),
                lambda: _tried(parts, processes, way, count),
                lambda found: _is_whole(found, parts, processes, count),
            )
    except ZooError:
        raise
    except Exception:  # a step that fails is no trial; if it fails again, training says so
        return {}


def _is_worth_it(parts: Setup, processes: Processes) -> bool:
    recipe, phases = parts.recipe, [phase for phase in parts.phases if not is_head_only(phase)]
    if recipe.train.compile != "auto" or processes.uses_fsdp(recipe.train):
        return False
    if any(len(phase.trainable) < len(parts.groups) and repeats(phase, recipe) for phase in phases):
        return False
    return expected_seconds(parts, processes) >= LONG_S


def _is_whole(found: dict[str, Any], parts: Setup, processes: Processes, count: int) -> bool:
    """Whether what was kept serves this run, too: what is too short to be tried may have been a shorter one."""
    if "failed" in found or not is_time(found["plain"]):
        return False
    return is_time(found["compiled"]) if "compiled" in found else _is_short(found["plain"], parts, processes, count)


def _is_short(step_ms: float, parts: Setup, processes: Processes, count: int) -> bool:
    return step_ms / 1000 * passes(parts) / count / processes.size < LONG_S


def pays(found: dict[str, Any]) -> bool:
    """Whether a trial found that the compiled step is clearly faster."""
    return "compiled" in found and found["compiled"] * FASTER <= found["plain"]


def told(measured: dict[str, Any]) -> str:
    """What a run's record says of the trial, in a line; "" where there was none."""
    found = measured.get("compile_ms", {})
    if "failed" in found:
        return f"not compiled, since torch.compile failed: {found['failed']}"
    if "compiled" not in found:
        return ""
    faster = found["plain"] / found["compiled"]
    return f"{'compiled' if pays(found) else 'not compiled'} (measured: {faster:.2f}x as fast compiled)"


def _tried(parts: Setup, processes: Processes, way: ComputeFormat, count: int) -> dict[str, Any]:
    rehearsal = TrialStep(parts, processes.device)
    rehearsal.arrange(way.channels_last)
    inputs = rehearsal.inputs(count, way.channels_last)

    def step_ms() -> float:
        """The median of some steps, after one to warm up."""
        ms = []
        for _ in range(ROUNDS + 1):
            start = time.perf_counter()
            rehearsal.step(inputs, way.precision)
            ms.append(1000 * (time.perf_counter() - start))
        return round(median(ms[1:]), 2)

    found: dict[str, Any] = {"plain": step_ms()}
    if _is_short(found["plain"], parts, processes, count):
        return found
    try:
        rehearsal.trained = compiled(rehearsal.model, True)
        return found | {"compiled": step_ms()}
    except ZooError:
        raise
    except Exception as error:  # no compiler, or a model that it cannot take: then it is trained as it is
        return found | {"failed": first_line(error)}
    finally:
        torch.compiler.reset()
