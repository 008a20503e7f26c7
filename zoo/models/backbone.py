"""A backbone by name: timm's own, a plugin's, or a local model folder."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from timm.models import get_model_traits, resolve_model_input_args
from torch import nn

from zoo.config.recipe import Model
from zoo.errors import ModelError, PluginError, UsageError, ZooError
from zoo.hub import hub
from zoo.hub.download import PREFIX, fetch
from zoo.plugins import find_backbone

NEXT = (
    "Try model.pretrained=false (random weights), a path to a safetensors file, or the recipe quickstart (no network)"
)

INTERFACE = ("num_features", "forward_features", "forward_head", "get_classifier", "reset_classifier", "pretrained_cfg")
"""What the zoo uses of timm's model interface."""


def build_backbone(spec: Model, image_size: int | None, weights: bool = True) -> nn.Module:
    """The backbone of a recipe with its own classifier still on, for square inputs of `image_size` pixels.

    weights: False builds the architecture alone, for weights that are loaded afterwards.
    Raises ModelError or UsageError with what to try instead.
    """
    pretrained = spec.pretrained if weights else False
    own = pretrained is True
    try:
        model = _create(spec, image_size, own)
    except ZooError:
        raise
    except Exception as error:
        raise _explained(spec, image_size, error) from error
    if isinstance(pretrained, str):
        load_weights(model, Path(pretrained))
    return model


def _create(spec: Model, image_size: int | None, own_weights: bool) -> nn.Module:
    plugin = find_backbone(spec.backbone)
    if plugin is not None:
        model = plugin.load()(pretrained=own_weights, in_chans=spec.in_chans, **spec.options)
        if lacking := [name for name in INTERFACE if not hasattr(model, name)]:
            raise PluginError(
                f"{plugin} gave a {type(model).__name__} without {', '.join(lacking)}, which the contract asks for"
            )
        return model
    name = spec.backbone.removeprefix("timm:")
    if name.startswith(PREFIX):
        name = f"local-dir:{fetch(name).folder}"
    if local := name.startswith("local-dir:"):
        _check_folder(Path(name.removeprefix("local-dir:")), own_weights)
    with hub(name, NEXT, needed=own_weights and not local):
        resolved = resolve_model_input_args(name, {"img_size": image_size}, in_chans=spec.in_chans, **spec.options)
        resolved["model_name"] = name
        if local:
            resolved.pop("pretrained_cfg")
        return timm.create_model(pretrained=own_weights, **resolved)


def _check_folder(folder: Path, weights: bool) -> None:
    """Raises UsageError or ModelError unless timm will find a configuration, and in safetensors the weights."""
    if not (folder / "config.json").is_file():
        raise UsageError(
            f"model.backbone: 'local-dir:{folder}' has no config.json; local-dir: takes a model folder, as in RUN/model"
        )
    if weights:
        read_safetensors(folder / "model.safetensors")


def _explained(spec: Model, image_size: int | None, error: Exception) -> ZooError:
    """What timm or a plugin raised, in terms of the recipe."""
    text = one_line(f"{type(error).__name__}: {error}")
    found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if found and found[1] in spec.options:
        return UsageError(f"model.options.{found[1]}: backbone '{spec.backbone}' has no such option")
    if "No pretrained weights exist" in str(error):
        return ModelError(f"backbone '{spec.backbone}' has no published weights. {NEXT}")
    if "Invalid pretrained tag" in str(error):
        return UsageError(f"model.backbone: {str(error).rstrip('.')}. Leave the tag out for the default weights")
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return ModelError(f"backbone '{spec.backbone}' does not fit in memory: {text}")
    size = f"{image_size} px" if image_size else "its own size"
    return ModelError(f"backbone '{spec.backbone}' cannot be built for {size}: {text}")


def one_line(text: str) -> str:
    """The beginning of a text, line breaks and runs of spaces as one space."""
    text = " ".join(text.split())
    return text if len(text) <= 300 else f"{text[:300]} ..."


def load_weights(model: nn.Module, path: Path) -> None:
    """Fill the backbone from a safetensors file; its classifier, which is replaced anyway, may differ or be missing.

    Raises UsageError for a file that is not safetensors, ModelError for tensors that do not fit.
    """
    if path.is_dir():
        path = path / "model.safetensors"
    if path.suffix != ".safetensors":
        raise UsageError(f"model.pretrained: '{path}' is not a safetensors file; only safetensors weights are read")
    tensors = read_safetensors(path)
    expected = {k: v for k, v in model.state_dict().items() if not k.startswith(classifier_prefixes(model))}
    given = {k: v for k, v in tensors.items() if not k.startswith(classifier_prefixes(model))}
    if expected.keys() != given.keys():
        missing, extra = sorted(expected.keys() - given.keys()), sorted(given.keys() - expected.keys())
        raise ModelError(
            f"model.pretrained: {path} holds other weights than this backbone's: "
            f"{len(missing)} missing ({', '.join(missing[:2])}), {len(extra)} unknown ({', '.join(extra[:2])})"
        )
    wrong = next((k for k in given if given[k].shape != expected[k].shape), None)
    if wrong:
        shapes = f"{tuple(given[wrong].shape)}, the backbone has {tuple(expected[wrong].shape)}"
        raise ModelError(f"model.pretrained: {path}: '{wrong}' is {shapes}")
    model.load_state_dict(given, strict=False)


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file. Raises ModelError for a missing, truncated or damaged one."""
    try:
        return load_file(path)
    except FileNotFoundError:
        raise ModelError(f"no weights at '{path}'") from None
    except Exception as error:
        size = path.stat().st_size if path.is_file() else 0
        raise ModelError(f"{path} ({size:,} bytes) is damaged: {error}. Fetch or train it again") from None


def classifier_prefixes(model: nn.Module) -> tuple[str, ...]:
    """Parameter-name prefixes of the model's own classifier(s), each ending in a dot."""
    try:
        classifier = model.get_classifier()
    except AttributeError:
        classifier = None
    parts = list(classifier) if isinstance(classifier, tuple | list | nn.ModuleList) else [classifier]
    named = config(model).get("classifier") or () if hasattr(model, "pretrained_cfg") else ()
    for name in (named,) if isinstance(named, str) else named:
        with suppress(AttributeError):  # VOLO's second classifier, which get_classifier leaves out
            parts.append(model.get_submodule(name))
    wanted = {id(p) for part in parts if isinstance(part, nn.Module) for p in part.parameters()}
    names = {name.rpartition(".")[0] + "." for name, p in model.named_parameters() if id(p) in wanted}
    return tuple(sorted(names))


def native_size(model: nn.Module) -> int:
    """Side in pixels of the input that the backbone was built for, which is its published one unless it was told."""
    return int((get_model_traits(model).get("img_size") or published_size(model))[-1])


def published_size(model: nn.Module) -> tuple[int, int]:
    """Height and width in pixels that the backbone was pretrained on."""
    return tuple(config(model).get("input_size", (3, 224, 224))[-2:])


def per_channel(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """A mean or deviation per channel for so many channels; colours become their average."""
    return tuple(values) if len(values) == channels else (sum(values) / len(values),) * channels


def config(model: nn.Module) -> Mapping[str, Any]:
    """timm's `pretrained_cfg` as a mapping."""
    cfg = model.pretrained_cfg
    return cfg if isinstance(cfg, Mapping) else cfg.to_dict()
