"""Asking a schedule for its phases, and holding what it gives against the contract."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, get_args

from zoo.contracts import Phase
from zoo.errors import PluginError
from zoo.plugins import Plugin, calling

KINDS = get_args(Phase.__annotations__["parameters"])
SHAPES = get_args(get_args(Phase.__annotations__["lr_schedule"])[0])


def planned(
    plugin: Plugin, groups: Mapping[str, Collection[str]], epochs: int, options: Mapping[str, Any]
) -> tuple[Phase, ...]:
    """The phases that a schedule gives for these groups (name -> parameters). Raises UsageError, PluginError."""
    schedule = plugin.load()
    with calling(plugin, f"schedule: '{plugin.name}' with train.epochs={epochs}"):
        phases = schedule(tuple(groups), epochs, **options)
    if not isinstance(phases, Sequence) or not all(isinstance(p, Phase) for p in phases):
        raise PluginError(
            f"{plugin} returned {phases!r:.200}, but the contract asks for a tuple of zoo.contracts.Phase"
        )
    for phase in phases:
        if fault := _fault(phase, groups):
            raise PluginError(f"{plugin} {fault}: {phase}")
    if sum(p.epochs for p in phases) != epochs:
        raise PluginError(f"{plugin} planned {sum(p.epochs for p in phases)} epochs, the recipe asks for {epochs}")
    return tuple(phases)


def _fault(phase: Phase, groups: Mapping[str, Collection[str]]) -> str:
    """What breaks the contract in a phase, '' where nothing does."""
    if unknown := [g for g in (*phase.trainable, *phase.lr_scale) if g not in groups]:
        return f"names the group '{unknown[0]}', but this model's groups are {', '.join(groups)}"
    if twice := [g for i, g in enumerate(phase.trainable) if g in phase.trainable[:i]]:
        return f"names the group '{twice[0]}' twice"
    if not _is_count(phase.epochs) or not any(groups[g] for g in phase.trainable):
        return "gave a phase that trains nothing"
    if wrong := [g for g, scale in phase.lr_scale.items() if not _is_factor(scale)]:
        return f"gave the group '{wrong[0]}' a learning-rate factor that is not above 0"
    if phase.parameters not in KINDS:
        return f"asks for the parameters {phase.parameters!r}, but there are {', '.join(KINDS)}"
    if phase.patience is not None and not _is_count(phase.patience):
        return f"gave the patience {phase.patience!r}, but it counts epochs, at least 1"
    if phase.lr_schedule is not None and phase.lr_schedule not in SHAPES:
        return f"gave the lr_schedule {phase.lr_schedule!r}, but there are {', '.join(SHAPES)}"
    return ""


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_factor(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value < math.inf
