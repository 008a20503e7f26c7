"""What a run is about to do: phases, trainable parameters, steps, and an estimate of memory and time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from zoo.config.recipe import Recipe
from zoo.contracts import HEAD, Phase
from zoo.models.mode import evaluating
from zoo.models.param_groups import Groups
from zoo.plugins import find
from zoo.schedules.planning import planned
from zoo.training.freezing import select_trainable


def plan_phases(recipe: Recipe, groups: Groups) -> tuple[Phase, ...]:
    """The phases of the recipe's schedule, checked against the contract. Raises UsageError, PluginError."""
    return planned(find("schedule", recipe.schedule.name), groups, recipe.train.epochs, recipe.schedule.options)


REPEATS = 2


@dataclass(frozen=True)
class PhasePlan:
    """One line of the plan. split_point: where the frozen part that runs once ends, None where all runs in every epoch; seconds: estimate of training and validation, None where nothing was timed."""

    phase: Phase
    trainable: int
    steps: int
    split_point: str | None
    seconds: float | None = None


@dataclass(frozen=True)
class Costs:
    """Measured seconds per image on this device: forward alone, and a whole step through everything."""

    forward: float
    backward: float


def measure_costs(model: nn.Module, example: torch.Tensor, autocast: Callable, backward: bool = True) -> Costs:
    """Time a forward and a forward with backward of a few images, the best of some; the model is left as it was.

    backward: False where there is no room for gradients; then it is taken to cost twice a forward.
    """
    if not backward:
        with evaluating(model):
            forward = min(_forward(model, example, autocast) for _ in range(REPEATS)) / len(example)
        return Costs(forward, 3 * forward)
    targets = torch.zeros(len(example), dtype=torch.long, device=example.device)
    wanted = [(p, p.requires_grad) for p in model.parameters()]
    with evaluating(model):
        for parameter, _ in wanted:
            parameter.requires_grad_(True)
        timings = [_timed(model, example, targets, autocast) for _ in range(REPEATS)]
    for parameter, required in wanted:
        parameter.requires_grad_(required)
    forward, backward = (min(column) / len(example) for column in zip(*timings, strict=True))
    return Costs(forward, backward)


def _timed(model: nn.Module, example: torch.Tensor, targets: torch.Tensor, autocast: Callable) -> tuple[float, float]:
    """Seconds of a forward without gradients, and of a forward with its backward."""
    forward, start = _forward(model, example, autocast), _now(example.device)
    with autocast():
        loss = F.cross_entropy(model(example).float(), targets)
    loss.backward()
    end = _now(example.device)
    model.zero_grad(set_to_none=True)
    return forward, end - start


def _forward(model: nn.Module, example: torch.Tensor, autocast: Callable) -> float:
    start = _now(example.device)
    with torch.inference_mode(), autocast():
        model(example)
    return _now(example.device) - start


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def lay_out(
    model: nn.Module,
    groups: Groups,
    phases: tuple[Phase, ...],
    recipe: Recipe,
    images: dict[str, int],
    split_points: Sequence[str | None],
    costs: Costs | None = None,
    processes: int = 1,
) -> list[PhasePlan]:
    """The plan's lines. images: counts per split; split_points: where each phase's frozen part ends; costs: measured, or None for no estimate."""
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    plans = []
    for phase, split_point in zip(phases, split_points, strict=True):
        trainable = sum(sizes[n] for names in select_trainable(model, groups, phase).values() for n in names)
        share = sum(sizes[n] for g in phase.trainable for n in groups[g]) / max(1, sum(sizes.values()))
        if phase.parameters != "all":
            share /= 2  # gradients flow through every layer, but those of most weights are not computed
        steps = steps_per_epoch(images["train"], recipe) * phase.epochs
        plans.append(
            PhasePlan(
                phase,
                trainable,
                steps,
                split_point,
                _seconds(phase, split_point is not None, share, images, costs, processes),
            )
        )
    return plans


def _seconds(
    phase: Phase, cached: bool, share: float, images: dict[str, int], costs: Costs | None, processes: int
) -> float | None:
    """share: part of a whole backward pass that the phase needs."""
    if costs is None:
        return None
    once = (images["train"] + images["validation"]) * costs.forward
    if cached:
        above = 0.0 if is_head_only(phase) else phase.epochs * images["train"] * costs.backward * share
        return (once + above) / processes
    training = images["train"] * (costs.forward + (costs.backward - costs.forward) * share)
    return phase.epochs * (training + images["validation"] * costs.forward) / processes


def is_head_only(phase: Phase) -> bool:
    """Whether the whole backbone is frozen."""
    return tuple(phase.trainable) == (HEAD,)


def steps_per_epoch(images: int, recipe: Recipe) -> int:
    """Optimiser steps in one pass over `images`."""
    batches, tail = -(-images // recipe.data.batch_size), images % recipe.data.batch_size or recipe.data.batch_size
    if batches > 1 and tail == 1:
        batches -= 1
    return -(-batches // recipe.train.accumulation)


def training_bytes(model: nn.Module, plans: list[PhasePlan], shards: int = 1) -> int:
    """A process's memory of weights, gradients and two optimiser moments in the largest phase, activations not counted.

    shards: processes over which phases that run the whole model shard it.
    """
    weights = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    return max((weights + 3 * 4 * p.trainable) // (shards if p.split_point is None else 1) for p in plans)
