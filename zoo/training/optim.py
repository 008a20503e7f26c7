"""The optimiser of a phase: its parameter groups with their learning rates, and its state without pickle."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from timm.optim import create_optimizer_v2, get_optimizer_class
from torch import nn

from zoo.config.recipe import Optim
from zoo.contracts import HEAD, Phase
from zoo.distributed.fsdp import full_tensor, is_sharded, reshard_like
from zoo.errors import PluginError, UsageError
from zoo.models.classifier import Classifier
from zoo.models.param_groups import Groups
from zoo.models.transfer import exempt
from zoo.plugins import Plugin, calling, find_optimizer
from zoo.training.freezing import is_matrix, select_trainable

FUSED = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)
"""Have a kernel that steps all tensors at once, on a CPU three times as fast as one by one (torch 2.15).

SGD's does not take sharded weights.
"""
DEPTH = 12
"""Groups of depth to which layer decay is normalised, a ViT-B's number of blocks."""


def build_optimizer(
    model: nn.Module, groups: Groups, phase: Phase, optim: Optim, own: Sequence[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """An optimiser over the phase's trainable parameters; every group carries `name` and `lr_scale`.

    own: parameters of the method, which train wherever the head does.
    """
    return optimizer_over(list(optimizer_groups(model, groups, phase, optim, own)), optim)


def optimizer_over(params: list[dict], optim: Optim) -> torch.optim.Optimizer:
    """timm's optimiser, or a plugin's, over torch parameter groups. Raises UsageError, PluginError."""
    plugin = find_optimizer(optim.name)
    optimizer = _timms(params, optim) if plugin is None else _plugins(plugin, params, optim)
    if getattr(optimizer, "is_second_order", False):
        raise UsageError(f"optim.name: '{optim.name}' needs second derivatives, which are not computed. Try adamw")
    return optimizer


def _timms(params: list[dict], optim: Optim) -> torch.optim.Optimizer:
    name = optim.name.removeprefix("timm:")
    try:
        options = {**_fused(name, params, optim.options), **optim.options}
        return create_optimizer_v2(params, opt=name, lr=optim.lr, weight_decay=0.0, **options)
    except (TypeError, ValueError, ImportError, AssertionError) as error:
        raise UsageError(f"optim: optimiser '{optim.name}' refuses its options: {error}") from error


def _fused(name: str, params: list[dict], given: Mapping[str, Any]) -> dict[str, bool]:
    """The option for the fused kernel, where the optimiser has one for these weights and the recipe says nothing else."""
    if name.startswith("lookahead_") or given.keys() & {"foreach", "differentiable", "maximize", "capturable"}:
        return {}
    kind = get_optimizer_class(name, bind_defaults=False)
    sharded = any(is_sharded(parameter) for group in params for parameter in group["params"])
    return {"fused": True} if kind in FUSED and not (sharded and kind is torch.optim.SGD) else {}


def _plugins(plugin: Plugin, params: list[dict], optim: Optim) -> torch.optim.Optimizer:
    factory, given = plugin.load(), _members(params)
    with calling(plugin, f"optim: optimiser '{optim.name}' refuses its options", passing=(torch.OutOfMemoryError,)):
        optimizer = factory(params, lr=optim.lr, weight_decay=optim.weight_decay, **optim.options)
    _check(optimizer, plugin, given)
    return optimizer


def _members(groups: Iterable[dict]) -> list[list[int]]:
    return [[id(parameter) for parameter in group["params"]] for group in groups]


def _check(optimizer: Any, plugin: Plugin, given: list[list[int]]) -> None:
    """Raises PluginError unless it is an optimiser of the parameter groups that it was given."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise PluginError(
            f"{plugin} returned a {type(optimizer).__name__}, but the contract asks for a torch.optim.Optimizer"
        )
    if _members(optimizer.param_groups) != given or any("lr_scale" not in group for group in optimizer.param_groups):
        raise PluginError(
            f"{plugin} changed its parameter groups, but the contract asks to keep them: each has its own learning rate"
        )


def optimizer_groups(
    model: nn.Module, groups: Groups, phase: Phase, optim: Optim, own: Sequence[nn.Parameter] = ()
) -> Iterable[dict]:
    """torch parameter groups of what the phase trains: each stage twice, with weight decay and without.

    Vectors (norms, biases) and the names that the backbone exempts have none. own: more parameters of the head.
    """
    named = dict(model.named_parameters())
    without = _exempt(model)
    factors = layer_factors(tuple(groups), optim.layer_decay)
    for group, names in select_trainable(model, groups, phase).items():
        for decay in (True, False):
            members = [named[n] for n in names if (is_matrix(named[n]) and n not in without) == decay]
            members += [p for p in own if group == HEAD and is_matrix(p) == decay]
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
    owner, prefix = (model.backbone, "backbone.") if isinstance(model, Classifier) else (model, "")
    return {prefix + name for name in exempt(owner)}


def layer_factors(groups: tuple[str, ...], layer_decay: float) -> dict[str, float]:
    """Learning-rate factor per group, `layer_decay ** depth`, where the head has depth 0 and the stem at most 12."""
    last = len(groups) - 1
    return {g: layer_decay ** ((last - i) * min(1.0, DEPTH / max(last, 1))) for i, g in enumerate(groups)}


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group `lr` times its own factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def pack_state(optimizer: torch.optim.Optimizer, wanted: bool = True) -> tuple[dict[str, torch.Tensor], dict]:
    """Optimiser state as (tensors by `path.of.keys`, JSON-able rest), without code or pickle.

    Collective where weights are sharded: call it on every rank, with wanted=False where the result is not needed.
    """
    tensors: dict[str, torch.Tensor] = {}
    packed = {key: _packed(value, key, tensors) for key, value in optimizer.state_dict().items()}
    return {path: full_tensor(tensor, wanted) for path, tensor in tensors.items()}, packed


def unpack_state(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor], rest: Mapping) -> None:
    """Put back what `pack_state` gave, into an optimiser built alike."""
    state = {key: _unpacked(value, tensors) for key, value in rest.items()}
    parameters = dict(enumerate(parameter for group in optimizer.param_groups for parameter in group["params"]))
    for number, kept in state.get("state", {}).items():
        if number in parameters and isinstance(kept, dict):
            kept.update(_laid_out(kept, parameters[number]))
    optimizer.load_state_dict(state)


def _laid_out(kept: Mapping[str, Any], like: torch.Tensor) -> dict[str, torch.Tensor]:
    """What is kept of a weight in its shape, as the weight lies in memory; fused kernels take it that both lie alike."""
    return {
        key: reshard_like(value, like)
        for key, value in kept.items()
        if isinstance(value, torch.Tensor) and value.shape == like.shape
    }


def _packed(value: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    """`value` as JSON that keeps keys of any type, tuples and dtypes; its tensors go to `tensors`, under their paths."""
    if isinstance(value, torch.Tensor):
        tensors[path] = value.detach()
        return {"tensor": path}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, Mapping):
        return {"dict": [[k, _packed(v, f"{path}.{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        items = [_packed(v, f"{path}.{i}", tensors) for i, v in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    return value


def _unpacked(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    match value:
        case {"tensor": path}:
            return tensors[path]
        case {"dtype": name}:
            return getattr(torch, name)
        case {"dict": items}:
            return {k: _unpacked(v, tensors) for k, v in items}
        case {"tuple": items}:
            return tuple(_unpacked(v, tensors) for v in items)
        case list():
            return [_unpacked(v, tensors) for v in value]
    return value
