"""The points of a backbone: timm's model interface, and what any module must keep."""

import copy
import tempfile
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from timm.models import group_parameters
from timm.models._hub import save_config_for_hf
from torch import Tensor, nn

from zoo.models.backbone import INTERFACE, config, published_size
from zoo.models.classifier import Classifier, feature_info
from zoo.plugins import OWN, installed
from zoo.testing import option_values
from zoo.testing.frozen import freezing
from zoo.testing.module import CLASSES, MODULE, SLOW, Built, Trial, build_watched
from zoo.testing.order import out_of_order
from zoo.testing.part import Part
from zoo.testing.report import Skip, Violation, catch_violations, merge_places, one_line
from zoo.testing.source_checks import WRITTEN

SIZES = (64, 96, 128)
"""Sides in pixels that are tried before the backbone's own, smallest first, since the check should take seconds."""
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos", "random")


class Subject:
    """A backbone, built as few times as can be."""

    def __init__(self, part: Part) -> None:
        self.part = part

    def build(self, in_chans: int = 3, **options: Any) -> nn.Module:
        """The backbone with random weights and its own classifier."""
        return self.part.call(pretrained=False, in_chans=in_chans, **{**self.part.options, **options})

    def classifier(self, num_classes: int, in_chans: int = 3) -> nn.Module:
        model = self.build(in_chans)
        model.reset_classifier(num_classes)
        return model

    @cached_property
    def built(self) -> Built:
        """The backbone, built once. Raises Skip if an option without a default was not given."""
        if needed := self.part.needs():
            raise Skip(f"it needs {needed[0]}=..., which has no default; pass it to check_backbone")
        return build_watched(self.build)

    @cached_property
    def sound(self) -> bool:
        """Whether it builds and has the interface, so that the other points make sense."""
        return not catch_violations(lambda: [found for found in building(self) if not found.mild])

    @property
    def model(self) -> nn.Module:
        """As it was built; points that change anything work on a copy. Raises Skip where it does not build."""
        if not self.sound:
            raise Skip("it does not build")
        return self.built.result.eval()

    @cached_property
    def image_size(self) -> int:
        """The smallest size that it takes. Raises Skip where it takes none."""
        own = self.part.image_size or published_size(self.model)[-1]
        tried = () if self.part.image_size or config(self.model).get("fixed_input_size") else SIZES
        for size in [*(size for size in tried if size < own), own]:
            if not catch_violations(lambda size=size: self._feed(size)):
                return size
        raise Skip(f"it takes no images of {own} px")

    def _feed(self, size: int) -> list[Violation]:
        with torch.no_grad():
            self.model(self.images(size))
        return []

    def images(self, size: int | None = None, channels: int = 3) -> Tensor:
        """Two random images (2, C, S, S)."""
        side = size or self.image_size
        return torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(0))

    @cached_property
    def trials(self) -> list[Trial]:
        size = self.image_size
        return [Trial("", self.classifier, (3, size, size), lambda model: model, size)]


def building(subject: Subject) -> Iterator[Violation]:
    """build(pretrained=False, in_chans=3, **options) gives a module with timm's model interface."""
    yield from subject.built.habits()
    model = subject.built.result
    if not isinstance(model, nn.Module):
        yield Violation(f"a {type(model).__name__}", "return a torch.nn.Module")
    elif lacking := [name for name in INTERFACE if not hasattr(model, name)]:
        yield Violation(f"{type(model).__name__} has no {', '.join(lacking)}", "add them, as timm's models have them")


def configuration(subject: Subject) -> Iterator[Violation]:
    """pretrained_cfg names input_size, mean, std, interpolation, classifier and first_conv, all of them true."""
    cfg = config(subject.model)
    size = cfg.get("input_size")
    if not (isinstance(size, tuple | list) and len(size) == 3 and all(isinstance(n, int) and n > 0 for n in size)):
        yield Violation(f"input_size is {size!r}", "write (3, 224, 224): channels, height, width in pixels")
    for name, low in (("mean", -1e-9), ("std", 0.0)):
        values = cfg.get(name)
        sound = isinstance(values, tuple | list) and len(values) in (1, 3)
        if not (sound and all(isinstance(v, int | float) and low < v <= 1 for v in values)):
            yield Violation(f"{name} is {values!r}", "write one number per channel, on pixels from 0 to 1")
    if cfg.get("interpolation") not in INTERPOLATIONS:
        yield Violation(f"interpolation is {cfg.get('interpolation')!r}", f"write one of {', '.join(INTERPOLATIONS)}")
    for name in ("classifier", "first_conv"):
        for path in _paths(cfg.get(name)):
            if catch_violations(lambda path=path: [subject.model.get_submodule(path)][:0]):
                yield Violation(f"{name} is '{path}', which the model does not have", "write the module's dotted name")
        if not _paths(cfg.get(name)):
            yield Violation(f"{name} is {cfg.get(name)!r}", "write the module's dotted name", mild=True)


def _paths(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [path for path in value or () if isinstance(path, str)]


@torch.no_grad()
def features(subject: Subject) -> Iterator[Violation]:
    """forward_features gives one map of num_features channels, and forward_head makes of it what forward gives."""
    model, x = subject.model, subject.images()
    found = model.forward_features(x)
    if not isinstance(found, Tensor) or not 2 <= found.ndim <= 4 or len(found) != len(x):
        what = tuple(found.shape) if isinstance(found, Tensor) else f"a {type(found).__name__}"
        yield Violation(f"forward_features gives {what} for {len(x)} images", "give one tensor: NCHW, NHWC, NLC or NC")
        return
    channels = {found.shape[1], found.shape[-1]} if found.ndim == 4 else {found.shape[-1]}
    if model.num_features not in channels:
        yield Violation(f"num_features is {model.num_features}, the map {tuple(found.shape)}", "make the two agree")
    if not torch.equal(model.forward_head(found), model(x)):
        yield Violation("forward_head(forward_features(x)) differs from forward(x)", "let forward call these two alone")
    width = getattr(model, "head_hidden_size", None) or model.num_features
    pooled = model.forward_head(found, pre_logits=True)
    if tuple(pooled.shape) != (len(x), width):
        text = f"forward_head(pre_logits=True) gives {tuple(pooled.shape)}"
        yield Violation(text, f"give (B, {width}), or say another width in head_hidden_size")


@torch.no_grad()
def classes(subject: Subject) -> Iterator[Violation]:
    """reset_classifier(K) gives a new classifier with logits (B, K) for K = 1, 2, 1000, and with K = 0 pooled features."""
    model, x = copy.deepcopy(subject.model), subject.images()
    came = set(model.parameters())
    for count in (1, 2, 1000):
        model.reset_classifier(count)
        logits = model.eval()(x)
        if not isinstance(logits, Tensor) or logits.shape != (len(x), count):
            what = tuple(logits.shape) if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
            yield Violation(
                f"{what} for {len(x)} images and {count} classes", "put nn.Linear(num_features, K) in its place"
            )
            return
        if getattr(model, "num_classes", count) != count:
            yield Violation(f"num_classes stays {model.num_classes} after reset_classifier({count})", "set it there")
            return
    classifier = model.get_classifier()
    if not isinstance(classifier, nn.Module) or came & set(classifier.parameters()):
        yield Violation("get_classifier() does not give the new module", "return what reset_classifier made")
    model.reset_classifier(0)
    width = getattr(model, "head_hidden_size", None) or model.num_features
    if (shape := tuple(model.eval()(x).shape)) != (len(x), width):
        yield Violation(
            f"{shape} after reset_classifier(0)", f"put nn.Identity() in its place, which gives (B, {width})"
        )


def group_matcher(subject: Subject) -> Iterator[Violation]:
    """group_matcher puts every parameter in one group, stem to head, in the order in which forward uses them."""
    model = subject.trials[0].copy()
    if hasattr(model, "group_matcher"):
        for coarse in (False, True):
            group_parameters(model, model.group_matcher(coarse=coarse))
    for late, early in out_of_order(model, subject.images()):
        yield Violation(
            f"{late}, though forward uses it before {early}", "let an earlier pattern match it (the stem's, say)"
        )


def greyscale(subject: Subject) -> Iterator[Violation]:
    """With in_chans=1 it takes grey images (B, 1, H, W)."""
    _ = subject.model
    model = subject.classifier(CLASSES, in_chans=1).eval()
    with torch.no_grad():
        shape = tuple(model(subject.images(channels=1)).shape)
    if shape != (2, CLASSES):
        yield Violation(f"{shape} for 2 grey images and {CLASSES} classes", "build the first convolution with in_chans")


def image_sizes(subject: Subject) -> Iterator[Violation]:
    """It takes other image sizes, or pretrained_cfg says fixed_input_size=True."""
    if config(subject.model).get("fixed_input_size"):
        raise Skip("pretrained_cfg says fixed_input_size=True")
    for size in (subject.image_size + 32, 2 * subject.image_size):
        with torch.no_grad():
            shape = tuple(subject.trials[0].copy()(subject.images(size)).shape)
        if shape != (2, CLASSES):
            yield Violation(f"{shape} for 2 images of {size} px", "pool before the classifier, whatever the map's size")


def heads(subject: Subject) -> Iterator[Violation]:
    """Every head that comes with the zoo reads its feature map, or says why it cannot."""
    names = [plugin for plugin in installed("head") if plugin.owner == OWN]
    base = copy.deepcopy(subject.model)
    base.reset_classifier(0)

    def read(factory: Any) -> list[Violation]:
        if getattr(factory, "native", False):
            return []
        try:
            head = factory(feature_info(base, subject.image_size, 3), CLASSES)
        except (ValueError, TypeError):  # it reads other layouts, or needs options
            return []
        with torch.no_grad():
            shape = tuple(Classifier(base, head).eval()(subject.images()).shape)
        return [] if shape == (2, CLASSES) else [Violation(f"{shape} for 2 images", "see the point features")]

    yield from merge_places((p.name, catch_violations(lambda p=p: read(p.load()))) for p in names)


def export(subject: Subject) -> Iterator[Violation]:
    """timm can write its config.json, which every trained model needs."""
    model = subject.trials[0].model
    with tempfile.TemporaryDirectory() as folder:
        try:
            save_config_for_hf(model, str(Path(folder) / "config.json"))
        except Exception as error:
            fix = "give pretrained_cfg the keys that timm's build_model_with_cfg writes, architecture among them"
            yield Violation(f"{type(error).__name__}: {one_line(str(error))}", fix)


def unknown_option(subject: Subject) -> Iterator[Violation]:
    """An option that it does not have is refused."""
    _ = subject.model
    yield from option_values.try_undeclared(partial(subject.build))


@torch.no_grad()
def pretrained(subject: Subject) -> Iterator[Violation]:
    """With pretrained=True its weights come, with finite logits for as many classes as pretrained_cfg says."""
    _ = subject.model
    model = subject.part.call(pretrained=True, in_chans=3, **subject.part.options).eval()
    logits, count = model(subject.images()), config(model).get("num_classes")
    if not logits.isfinite().all() or logits.shape[-1] != count:
        yield Violation(
            f"logits {tuple(logits.shape)}, num_classes {count}", "make pretrained_cfg and the weights agree"
        )
    torch.manual_seed(0)
    again = subject.part.call(pretrained=True, in_chans=3, **subject.part.options).eval()
    if not torch.equal(again(subject.images()), logits):
        yield Violation("two builds give different logits", "load every weight")


POINTS = (
    *WRITTEN,
    building,
    configuration,
    features,
    classes,
    group_matcher,
    greyscale,
    image_sizes,
    heads,
    export,
    unknown_option,
    *MODULE,
    freezing,
)
POINTS_SLOW = (*SLOW, pretrained)
