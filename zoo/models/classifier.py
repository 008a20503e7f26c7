"""A classifier: with the native linear head a plain timm model, with any other head a backbone and a head."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from zoo.config.recipe import Model
from zoo.contracts import FeatureInfo
from zoo.errors import ModelError, PluginError, UsageError
from zoo.models import transfer
from zoo.models.backbone import build_backbone, config, native_size, published_size
from zoo.models.heads.pooled import Pooled
from zoo.models.mode import evaluating
from zoo.models.transfer import Bottleneck, WithAdapterBlock
from zoo.plugins import calling, find


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
        """Images (B, C, H, W) to logits (B, K)."""
        return self.head(self.backbone.forward_features(x))


def build_classifier(
    spec: Model, num_classes: int, image_size: int | None, weights: bool = True, outputs: int | None = None
) -> nn.Module:
    """The model of a recipe for `num_classes` classes. Raises ModelError, UsageError or PluginError.

    outputs: classes of the backbone's own classifier where that is kept (`stack`), None for as many as it was built with.
    """
    plugin = find("head", spec.head.name)
    factory = plugin.load()
    backbone = build_backbone(spec, image_size, weights)
    size = image_size or native_size(backbone)
    if outputs is not None and outputs != backbone.num_classes:
        backbone.reset_classifier(outputs)
    if spec.top == "keep":
        return _kept(backbone, spec, num_classes, size)
    with calling(plugin, f"model.head: head '{spec.head.name}' refuses its options", passing=(RuntimeError,)):
        model = _with_head(backbone, factory, spec, num_classes, size, weights)
    if isinstance(model, Classifier) and (shape := output_shape(model, size, spec.in_chans)) != (1, num_classes):
        raise PluginError(f"{plugin} gives {shape} instead of (1, {num_classes}) for one image")
    return model


def _with_head(
    backbone: nn.Module, factory: Callable, spec: Model, num_classes: int, size: int, weights: bool
) -> nn.Module:
    """The backbone, read as the recipe says, under a new head."""
    plain = spec.top == "replace" and not (spec.insert or spec.cut or spec.concat)
    native = getattr(factory, "native", False)
    if native and plain and (model := _native(backbone, factory, spec, num_classes, size)) is not None:
        return model
    reader = _reader(backbone, spec, size, weights)
    features = feature_info(reader, size, spec.in_chans)
    head = (Pooled if native else factory)(features, num_classes, **spec.head.options)
    return Classifier(reader, WithAdapterBlock(Bottleneck(features, spec.insert), head) if spec.insert else head)


def _native(backbone: nn.Module, factory: Callable, spec: Model, num_classes: int, size: int) -> nn.Module | None:
    """A plain timm model with its own classifier replaced, or None where timm's cannot be (encoders have none)."""
    try:
        model = factory(backbone, num_classes, **spec.head.options)
    except AttributeError:
        return None
    return model if output_shape(model, size, spec.in_chans) == (1, num_classes) else None


def _reader(backbone: nn.Module, spec: Model, size: int, weights: bool) -> nn.Module:
    """What a foreign head reads: the backbone itself, or what the recipe's way of transfer makes of it."""
    if spec.top == "stack":
        return transfer.PretrainedLogits(backbone)
    if spec.cut is not None:
        return transfer.cut(backbone, spec.cut, _blank(backbone, size, spec.in_chans))
    for member in (members := [backbone, *(build_backbone(other, size, weights) for other in _others(spec))]):
        if hasattr(member, "reset_classifier"):
            member.reset_classifier(0)
    if spec.concat:
        return transfer.ConcatBackbones(members, spec.in_chans)
    features = _run(backbone, backbone.forward_features, size, spec.in_chans)
    return backbone if isinstance(features, torch.Tensor) else transfer.Intermediate(backbone, -1)


def _others(spec: Model) -> list[Model]:
    return [Model(backbone=name, pretrained=bool(spec.pretrained), in_chans=spec.in_chans) for name in spec.concat]


def _kept(backbone: nn.Module, spec: Model, num_classes: int, size: int) -> nn.Module:
    """The backbone with the classifier it came with, behind a new block where `model.insert` asks for one."""
    if (own := output_shape(backbone, size, spec.in_chans)) != (1, num_classes):
        raise UsageError(
            f"model.top=keep: the classifier of '{spec.backbone}' gives {own[-1] if own else 'no'} classes, the data have "
            f"{num_classes}. Use model.top=stack (a new layer on its outputs) or model.top=replace"
        )
    if not spec.insert:
        return backbone
    halved = halves(backbone, _blank(backbone, size, spec.in_chans))
    if halved is None:
        raise ModelError(f"model.insert: no block fits between the features and the classifier of '{spec.backbone}'")
    backbone.reset_classifier(0)
    features = transfer.PreLogits(backbone)
    block = Bottleneck(feature_info(features, size, spec.in_chans), spec.insert)
    return Classifier(features, WithAdapterBlock(block, halved.top))


def feature_info(backbone: nn.Module, image_size: int, in_chans: int) -> FeatureInfo:
    """What `forward_features` gives for an image of this size, found by running one."""
    shape = tuple(_run(backbone, backbone.forward_features, image_size, in_chans).shape)
    match len(shape):
        case 2:
            return FeatureInfo(shape[1], "NC")
        case 3:
            return FeatureInfo(shape[2], "NLC", shape[1:2], int(getattr(backbone, "num_prefix_tokens", 0)))
    width = getattr(backbone, "num_features", None)
    last = shape[3] == width and shape[1] != width
    return FeatureInfo(shape[3], "NHWC", shape[1:3]) if last else FeatureInfo(shape[1], "NCHW", shape[2:])


def output_shape(model: nn.Module, image_size: int, in_chans: int) -> tuple[int, ...]:
    """Shape of the logits for one image. Raises ModelError where the model does not take this size."""
    logits = _run(model, model, image_size, in_chans)
    return tuple(logits.shape) if isinstance(logits, torch.Tensor) else ()


def _run(model: nn.Module, function: Callable, image_size: int, in_chans: int) -> torch.Tensor:
    """`function` of one blank image, with `model` in eval mode."""
    try:
        with evaluating(model), torch.no_grad():  # timm's ConViT keeps a tensor of its first pass, and trains on it
            return function(_blank(model, image_size, in_chans))
    except (RuntimeError, AssertionError, ValueError) as error:
        own = published_size(model)[-1]
        raise ModelError(
            f"the model does not take images of {image_size} px: {(str(error) or repr(error)).splitlines()[0]}. "
            f"Its own size is {own}: data.image_size={own}"
        ) from error


def _blank(model: nn.Module, image_size: int, in_chans: int) -> torch.Tensor:
    """One image (1, C, H, W) of zeros where the model is."""
    device = next((p.device for p in model.parameters()), None)
    return torch.zeros(1, in_chans, image_size, image_size, device=device)


def idle_parameters(model: nn.Module, part: nn.Module, image_size: int, in_chans: int) -> frozenset[str]:
    """Names of a part's parameters that do not touch the model's logits; processes would wait for their gradients."""
    named = {name: p for name, p in part.named_parameters() if p.requires_grad}
    with evaluating(model), torch.enable_grad():
        logits = model(_blank(model, image_size, in_chans))
    gradients = torch.autograd.grad(logits.sum(), list(named.values()), allow_unused=True)
    return frozenset(name for name, gradient in zip(named, gradients, strict=True) if gradient is None)


@dataclass(frozen=True)
class BackboneHeadSplit:
    """A classifier cut where its backbone ends. `top` shares the model's own parameters."""

    model: nn.Module
    top: nn.Module

    @property
    def last(self) -> str:
        """What `top` reads, by name."""
        return "forward_features" if isinstance(self.model, Classifier) else "pre_logits"

    @property
    def below(self) -> tuple[torch.Tensor, ...]:
        """Weights and statistics that the features depend on. They have any shape."""
        above = {id(tensor) for tensor in self.top.state_dict(keep_vars=True).values()}
        return tuple(t for t in self.model.state_dict(keep_vars=True).values() if id(t) not in above)

    def open(self) -> None:
        """Nothing has to be done before `top` reads features."""

    def close(self) -> None:
        """Nor afterwards."""

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """What `top` reads: the unpooled map for a Classifier, pooled features for a plain timm model.

        Images are (B, C, H, W).
        """
        if isinstance(self.model, Classifier):
            return self.model.backbone.forward_features(images)
        return self.model.forward_head(self.model.forward_features(images), pre_logits=True)


def halves(model: nn.Module, example: torch.Tensor) -> BackboneHeadSplit | None:
    """The two halves, or None where `top(features(x))` does not give the model's own logits on `example`.

    example: images (B, C, H, W).
    """
    if isinstance(model, Classifier):
        return BackboneHeadSplit(model, model.head)
    classifier = model.get_classifier()
    if not isinstance(classifier, nn.Module) or isinstance(classifier, nn.ModuleList):
        return None
    cut = BackboneHeadSplit(model, nn.Sequential(nn.Dropout(_dropout(model)), classifier))
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
