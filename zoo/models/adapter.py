"""An adapter in a model: a few new parameters that train inside a backbone that does not (LoRA and friends)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from zoo.config.recipe import Named
from zoo.contracts import Adapted
from zoo.errors import PluginError, UsageError
from zoo.models.classifier import Classifier
from zoo.models.transfer import Wrapped
from zoo.plugins import calling, find


@dataclass(frozen=True)
class Adaptation:
    """model: what trains; fixed: names of its parameters that came with the backbone; merge: gives the plain model."""

    model: nn.Module
    fixed: frozenset[str]
    merge: Callable[[], nn.Module]


def adapt(model: nn.Module, spec: Named | None) -> Adaptation:
    """Put the recipe's adapter into the model's backbone. Raises UsageError for its options, PluginError for its faults."""
    if spec is None:
        return Adaptation(model, frozenset(), lambda: model)
    holder = _holder(model)
    came = {id(parameter) for parameter in model.parameters()}
    adapted = _adapted(model if holder is None else holder.backbone, spec)
    if holder is not None:
        holder.backbone = adapted.model
    whole = adapted.model if holder is None else model
    fixed = frozenset(name for name, parameter in whole.named_parameters() if id(parameter) in came)
    if len(fixed) == sum(1 for _ in whole.parameters()):
        raise UsageError(f"model.adapter: '{spec.name}' found nothing to adapt in a {type(model).__name__}")

    def merge() -> nn.Module:
        plain = adapted.merge()
        if holder is None:
            return plain
        holder.backbone = plain
        return model

    return Adaptation(whole, fixed, merge)


def _holder(model: nn.Module) -> Classifier | Wrapped | None:
    """The module whose `backbone` is the timm model itself, None for a plain timm model."""
    holder = None
    while isinstance(model, Classifier | Wrapped):
        holder, model = model, model.backbone
    return holder


def _adapted(backbone: nn.Module, spec: Named) -> Adapted:
    plugin = find("adapter", spec.name)
    factory = plugin.load()
    with calling(plugin, f"model.adapter: '{spec.name}' refuses", passing=(torch.OutOfMemoryError,)):
        adapted = factory(backbone, **spec.options)
    if not isinstance(adapted, Adapted):
        raise PluginError(
            f"{plugin} returned a {type(adapted).__name__}, but the contract asks for zoo.contracts.Adapted"
        )
    return adapted
