"""A classifier: with the native linear head a plain timm model, with any other head a backbone and a head."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from zoo.contracts import FeatureInfo
from zoo.errors import ModelError, PluginError, UsageError, ZooError
from zoo.models.backbone import build_backbone, config, native_size, published_size
from zoo.plugins import find
from zoo.recipe import Model


class Classifier(nn.Module):
    """`head(backbone.forward_features(x))`: images (B, C, H, W) to logits (B, K)."""

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    @property
    def pretrained_cfg(self) -> dict:
        return dict(config(self.backbone))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone.forward_features(x))


def build_classifier(spec: Model, num_classes: int, image_size: int | None, weights: bool = True) -> nn.Module:
    """The model of a recipe for `num_classes` classes. Raises ModelError, UsageError or PluginError."""
    plugin = find("head", spec.head.name)
    factory = plugin.load()
    backbone = build_backbone(spec, image_size, weights)
    size = image_size or native_size(backbone)
    try:
        if getattr(factory, "native", False):
            model = factory(backbone, num_classes, **spec.head.options)
        else:
            backbone.reset_classifier(0)
            model = Classifier(
                backbone, factory(feature_info(backbone, size, spec.in_chans), num_classes, **spec.head.options)
            )
    except (ValueError, TypeError) as error:
        raise UsageError(f"model.head: head '{spec.head.name}' refuses its options: {error}") from error
    except (ZooError, RuntimeError, MemoryError):
        raise
    except Exception as error:
        owner = f"head '{plugin.name}' of {plugin.owner} {plugin.version}"
        raise PluginError(f"{owner} failed with {type(error).__name__}: {error}") from error
    shape = output_shape(model, size, spec.in_chans)
    if shape != (1, num_classes) and isinstance(model, Classifier):
        raise PluginError(
            f"head '{plugin.name}' of {plugin.owner} {plugin.version} gives {shape} instead of (1, {num_classes}) for one image"
        )
    if shape != (1, num_classes):
        raise ModelError(
            f"backbone '{spec.backbone}' with head '{spec.head.name}' gives {shape} instead of (1, {num_classes}) for one "
            f"image: its classifier cannot be replaced. Try model.head=mlp"
        )
    return model


def feature_info(backbone: nn.Module, image_size: int, in_chans: int) -> FeatureInfo:
    """What `forward_features` gives for an image of this size, found by running one."""
    features = _run(backbone, backbone.forward_features, image_size, in_chans)
    if not isinstance(features, torch.Tensor):
        raise ModelError(f"{type(backbone).__name__} gives a list of feature maps; only model.head=linear reads those")
    shape = tuple(features.shape)
    match len(shape):
        case 2:
            return FeatureInfo(shape[1], "NC")
        case 3:
            return FeatureInfo(shape[2], "NLC", shape[1:2], int(getattr(backbone, "num_prefix_tokens", 0)))
    last = shape[3] == backbone.num_features and shape[1] != backbone.num_features
    return FeatureInfo(shape[3], "NHWC", shape[1:3]) if last else FeatureInfo(shape[1], "NCHW", shape[2:])


def output_shape(model: nn.Module, image_size: int, in_chans: int) -> tuple[int, ...]:
    """Shape of the logits for one image. Raises ModelError where the model does not take this size."""
    logits = _run(model, model, image_size, in_chans)
    return tuple(logits.shape) if isinstance(logits, torch.Tensor) else ()


def _run(model: nn.Module, function: Callable, image_size: int, in_chans: int) -> torch.Tensor:
    """`function` of one blank image, with `model` in eval mode."""
    try:
        with evaluating(model), torch.inference_mode():
            return function(torch.zeros(1, in_chans, image_size, image_size))
    except (RuntimeError, AssertionError, ValueError) as error:
        own = published_size(model)[-1]
        raise ModelError(
            f"the model does not take images of {image_size} px: {(str(error) or repr(error)).splitlines()[0]}. "
            f"Its own size is {own}: data.image_size={own}"
        ) from error


def idle_parameters(model: Classifier, image_size: int, in_chans: int) -> frozenset[str]:
    """Names of the backbone's parameters that do not touch the logits; processes would wait for their gradients."""
    named = {name: p for name, p in model.backbone.named_parameters() if p.requires_grad}
    with evaluating(model), torch.enable_grad():
        logits = model(torch.zeros(1, in_chans, image_size, image_size))
    gradients = torch.autograd.grad(logits.sum(), list(named.values()), allow_unused=True)
    return frozenset(name for name, gradient in zip(named, gradients, strict=True) if gradient is None)


class evaluating:
    """Context in which a model is in eval mode; every module's own mode comes back afterwards."""

    def __init__(self, model: nn.Module) -> None:
        self.modes = [(m, m.training) for m in model.modules()]
        self.model = model

    def __enter__(self) -> None:
        self.model.eval()

    def __exit__(self, *_: object) -> None:
        for module, training in self.modes:
            module.training = training


@dataclass(frozen=True)
class Halves:
    """A classifier cut where its backbone ends. `top` shares the model's own parameters."""

    model: nn.Module
    top: nn.Module

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """What `top` reads: the unpooled map for a Classifier, pooled features for a plain timm model."""
        if isinstance(self.model, Classifier):
            return self.model.backbone.forward_features(images)
        return self.model.forward_head(self.model.forward_features(images), pre_logits=True)


def halves(model: nn.Module, example: torch.Tensor) -> Halves | None:
    """The two halves, or None where `top(features(x))` does not give the model's own logits on `example`."""
    if isinstance(model, Classifier):
        return Halves(model, model.head)
    classifier = model.get_classifier()
    if not isinstance(classifier, nn.Module) or isinstance(classifier, nn.ModuleList):
        return None
    cut = Halves(model, nn.Sequential(nn.Dropout(_dropout(model)), classifier))
    with evaluating(model), evaluating(cut.top), torch.inference_mode():
        try:
            same = torch.equal(cut.top(cut.features(example)), model(example))
        except Exception:  # whatever a model that cannot be cut like this makes of it
            same = False
    return cut if same else None


def _dropout(model: nn.Module) -> float:
    """Probability of the dropout that stands before a timm classifier."""
    return next((m.p for m in head_dropouts(model)), float(getattr(model, "drop_rate", 0.0) or 0.0))


def head_dropouts(model: nn.Module) -> Iterator[nn.Dropout]:
    """The dropout modules before a timm classifier, by the names that timm gives them."""
    for owner in (model, getattr(model, "head", None)):
        for name in ("head_drop", "drop", "dropout", "head_dropout"):
            if isinstance(module := getattr(owner, name, None), nn.Dropout):
                yield module
