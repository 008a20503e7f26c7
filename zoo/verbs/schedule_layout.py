"""A freezing schedule laid out before anything trains: what `zoo show SCHEDULE` prints and draws."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from zoo.config.loading import COMMAND_LINE, parse_recipe
from zoo.config.recipe import Recipe
from zoo.contracts import HEAD, Phase
from zoo.plugins import Plugin, find
from zoo.schedules.planning import planned
from zoo.schedules.rate import lr_factor

PLACEHOLDERS = ("stem", "stage1", "stage2", "stage3", "stage4", HEAD)
"""Groups of a usual convolutional net, where no backbone is named."""
CLASSES = 10
STEPS = 20
"""Points an epoch at which rates are computed."""


@dataclass(frozen=True)
class Layout:
    """A schedule for one backbone, or for placeholder groups.

    sizes: parameters of each group from stem to head; trainable: parameters that move in each phase. Both are None
    without a backbone.
    """

    plugin: Plugin
    recipe: Recipe
    backbone: str | None
    groups: tuple[str, ...]
    phases: tuple[Phase, ...]
    sizes: tuple[int, ...] | None
    trainable: tuple[int, ...] | None

    def rates(self) -> list[list[float | None]]:
        """Learning-rate factor of each group (rows) at `STEPS` points of each epoch (columns), None where frozen."""
        rows: list[list[float | None]] = [[] for _ in self.groups]
        for phase in self.phases:
            shape, steps = phase.lr_schedule or self.recipe.optim.lr_schedule, phase.epochs * STEPS
            curve = [lr_factor(step, steps, 0, shape) for step in range(steps)]
            for group, row in zip(self.groups, rows, strict=True):
                scale = phase.lr_scale.get(group, 1.0)
                row += [scale * factor for factor in curve] if group in phase.trainable else [None] * steps
        return rows

    def document(self) -> dict[str, Any]:
        """The layout as JSON-able data."""
        return {
            "kind": "schedule",
            "name": self.plugin.name,
            "owner": self.plugin.owner,
            "version": self.plugin.version,
            "options": self.recipe.schedule.options,
            "epochs": self.recipe.train.epochs,
            "backbone": self.backbone,
            "classes": CLASSES if self.backbone else None,
            "groups": dict(zip(self.groups, self.sizes or [None] * len(self.groups), strict=True)),
            "phases": [
                {
                    "epochs": phase.epochs,
                    "trains": list(phase.trainable),
                    "kind": phase.parameters,
                    "parameters": self.trainable[i] if self.trainable else None,
                    "lr_scale": {g: phase.lr_scale.get(g, 1.0) for g in phase.trainable},
                    "lr_schedule": phase.lr_schedule,
                    "patience": phase.patience,
                    "freeze_bn_stats": phase.freeze_bn_stats,
                }
                for i, phase in enumerate(self.phases)
            ],
        }


def lay_out(name: str, options: Iterable[str] = (), epochs: int | None = None, backbone: str | None = None) -> Layout:
    """The schedule called `name` with `option=value` strings, for a backbone without its weights or for none.

    Raises UsageError for unknown names and options that do not fit, PluginError for a schedule that fails.
    """
    plugin = find("schedule", name)
    settings = [f"schedule.name={json.dumps(name)}", *(f"schedule.{option}" for option in options)]
    settings += [f"train.epochs={epochs}"] if epochs is not None else []
    settings += [f"model.backbone={json.dumps(backbone)}"] if backbone is not None else []
    recipe = parse_recipe("{model: {backbone: timm:resnet18}, data: {source: none}}", COMMAND_LINE, settings)
    if backbone is not None:
        return _on_backbone(plugin, recipe)
    phases = planned(plugin, {group: (group,) for group in PLACEHOLDERS}, recipe.train.epochs, recipe.schedule.options)
    return Layout(plugin, recipe, None, PLACEHOLDERS, phases, None, None)


def _on_backbone(plugin: Plugin, recipe: Recipe) -> Layout:
    import torch

    from zoo.models.backbone import native_size
    from zoo.models.classifier import build_classifier
    from zoo.models.param_groups import parameter_groups
    from zoo.training.freezing import select_trainable

    with torch.device("meta"):
        model = build_classifier(recipe.model, CLASSES, None, weights=False)
        groups = parameter_groups(model, native_size(model))
    phases = planned(plugin, groups, recipe.train.epochs, recipe.schedule.options)
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    trainable = (sum(sizes[n] for names in select_trainable(model, groups, p).values() for n in names) for p in phases)
    of_groups = (sum(sizes[n] for n in names) for names in groups.values())
    return Layout(plugin, recipe, recipe.model.backbone, tuple(groups), phases, tuple(of_groups), tuple(trainable))
