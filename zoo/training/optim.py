"""The optimiser of a phase and its learning rate, a pure function of the step."""

import math
from collections.abc import Iterable, Mapping

import torch
from timm.optim import create_optimizer_v2, list_optimizers
from torch import nn

from zoo.contracts import Phase
from zoo.errors import UnknownName, UsageError
from zoo.models.groups import Groups
from zoo.recipe import Optim

DEPTH = 12
"""Groups of depth to which layer decay is normalised, a ViT-B's number of blocks."""


def build_optimizer(model: nn.Module, groups: Groups, phase: Phase, optim: Optim) -> torch.optim.Optimizer:
    """An optimiser over the phase's trainable parameters; every group carries `name` and `lr_scale`."""
    if optim.name not in list_optimizers():
        raise UnknownName("optimiser in optim.name", optim.name, list_optimizers())
    try:
        return create_optimizer_v2(
            list(parameter_groups(model, groups, phase, optim)),
            opt=optim.name,
            lr=optim.lr,
            weight_decay=0.0,
            **optim.options,
        )
    except (TypeError, ValueError, ImportError, AssertionError) as error:
        raise UsageError(f"optim: optimiser '{optim.name}' refuses its options: {error}") from error


def parameter_groups(model: nn.Module, groups: Groups, phase: Phase, optim: Optim) -> Iterable[dict]:
    """torch parameter groups: each stage twice, with weight decay and (norms, biases, exempted names) without."""
    named = dict(model.named_parameters())
    exempt = _exempt(model)
    factors = layer_factors(tuple(groups), optim.layer_decay)
    for group in phase.trainable:
        for decay in (True, False):
            members = [named[n] for n in groups[group] if (named[n].ndim > 1 and n not in exempt) == decay]
            if members:
                scale = factors[group] * phase.lr_scale.get(group, 1.0)
                yield {
                    "params": members,
                    "name": group,
                    "lr": optim.lr * scale,
                    "lr_scale": scale,
                    "weight_decay": optim.weight_decay if decay else 0.0,
                }


def _exempt(model: nn.Module) -> set[str]:
    """Names that the backbone takes out of weight decay."""
    owner, prefix = (model.backbone, "backbone.") if hasattr(model, "backbone") else (model, "")
    names = owner.no_weight_decay() if hasattr(owner, "no_weight_decay") else ()
    return {prefix + name for name in names}


def layer_factors(groups: tuple[str, ...], layer_decay: float) -> dict[str, float]:
    """Learning-rate factor per group, `layer_decay ** depth`, where the head has depth 0 and the stem at most 12."""
    last = len(groups) - 1
    return {g: layer_decay ** ((last - i) * min(1.0, DEPTH / max(last, 1))) for i, g in enumerate(groups)}


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


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group `lr` times its own factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def state_arrays(optimizer: torch.optim.Optimizer) -> tuple[dict[str, torch.Tensor], dict]:
    """Optimiser state as (tensors by `index.key`, JSON-able rest), without code or pickle."""
    state = optimizer.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    rest: dict[str, dict] = {}
    for index, entries in state["state"].items():
        for key, value in entries.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}.{key}"] = value.detach()
            else:
                rest.setdefault(str(index), {})[key] = value
    return tensors, {"state": rest, "param_groups": state["param_groups"]}


def load_state_arrays(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor], rest: Mapping) -> None:
    """Put back what `state_arrays` gave."""
    state: dict[int, dict] = {int(index): dict(entries) for index, entries in rest["state"].items()}
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    groups = [
        {k: tuple(v) if isinstance(v, list) and k != "params" else v for k, v in g.items()}
        for g in rest["param_groups"]
    ]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
