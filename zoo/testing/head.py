"""The points of a head."""

from collections.abc import Iterator
from functools import cached_property, partial
from typing import Any

import timm
import torch
from torch import nn

from zoo.contracts import FeatureInfo
from zoo.models.classifier import Classifier
from zoo.testing import option_values
from zoo.testing.frozen import freezing
from zoo.testing.module import CLASSES, MODULE, SLOW, Built, Trial, build_watched
from zoo.testing.part import Part
from zoo.testing.report import Skip, Violation, catch_violations, merge_places, one_line
from zoo.testing.source_checks import WRITTEN
from zoo.testing.tiny import IMAGE_SIZE, Tiny

LAYOUTS = {
    "NCHW": FeatureInfo(64, "NCHW", (4, 4)),
    "NCHW, one position": FeatureInfo(64, "NCHW", (1, 1)),
    "NHWC": FeatureInfo(64, "NHWC", (4, 4)),
    "NLC": FeatureInfo(64, "NLC", (16,)),
    "NLC, 1 prefix token": FeatureInfo(64, "NLC", (17,), 1),
    "NLC, 5 prefix tokens": FeatureInfo(64, "NLC", (21,), 5),
    "NC": FeatureInfo(64, "NC"),
}
"""Every layout that backbones have; 64 channels divide by any usual number of heads or groups."""
BACKBONES = ("test_resnet", "test_vit", "test_convnext")
"""Stand-ins for every timm model, for a head that takes the whole model (`native`)."""
NATIVE_SIZE = 32
SHAPES = {"NCHW": lambda f: (f.channels, *f.size), "NC": lambda f: (f.channels,)}


class Subject:
    """A head, tried on every layout that it takes."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.refused: dict[str, str] = {}

    def build(self, where: str, num_classes: int = CLASSES, **options: Any) -> nn.Module:
        """The head for a layout or, a native one, for a timm model."""
        options = {**self.part.options, **options}
        if self.part.native:
            model = timm.create_model(where, img_size=NATIVE_SIZE) if where == "test_vit" else timm.create_model(where)
            return self.part.call(model, num_classes, **options)
        return self.part.call(LAYOUTS[where], num_classes, **options)

    @cached_property
    def built(self) -> dict[str, Built | Violation]:
        """What each layout gave, or what went wrong; those refused by a ValueError are in `refused` instead.

        Raises Skip if an option without a default was not given.
        """
        if needed := self.part.needs():
            raise Skip(f"it needs {needed[0]}=..., which has no default; pass it to check_head")
        tries = {where: self._try(where) for where in (BACKBONES if self.part.native else LAYOUTS)}
        return {where: one for where, one in tries.items() if one is not None}

    def _try(self, where: str) -> Built | Violation | None:
        """What a layout gave, None where it was refused."""
        made: list[Built] = []

        def build() -> list[Violation]:
            try:
                made.append(build_watched(partial(self.build, where)))
            except ValueError as error:
                self.refused[where] = str(error)
                return []
            result = made[0].result
            if isinstance(result, nn.Module):
                return []
            return [Violation(f"a {type(result).__name__}", "return a torch.nn.Module")]

        return next(iter([*catch_violations(build), *made]), None)

    @cached_property
    def trials(self) -> list[Trial]:
        """One for each layout that gave a module. Raises Skip where there is none."""
        trials = [self._trial(where) for where, built in self.built.items() if isinstance(built, Built)]
        if not trials:
            raise Skip("it does not build")
        return trials

    def _trial(self, where: str) -> Trial:
        make = partial(self.build, where)
        if self.part.native:
            return Trial(where, make, (3, NATIVE_SIZE, NATIVE_SIZE), lambda model: model, NATIVE_SIZE)
        features = LAYOUTS[where]
        shape = SHAPES.get(features.layout, lambda f: (*f.size, f.channels))(features)
        return Trial(where, make, shape, lambda head: Classifier(Tiny(features), head), IMAGE_SIZE, top=True)


def building(subject: Subject) -> Iterator[Violation]:
    """It gives a module for every layout, or refuses a layout with a ValueError that says which ones it reads."""
    yield from merge_places(
        (where, built.habits() if isinstance(built, Built) else [built]) for where, built in subject.built.items()
    )
    for where, text in subject.refused.items():
        if not text.strip():
            yield Violation(f"a ValueError without a text for {where}", "say which layouts it reads")
    if not subject.built:
        reason = one_line(next(iter(subject.refused.values()), ""))
        yield Violation(f"every layout is refused: {reason}", "read at least one of NCHW, NHWC, NLC, NC")


def classes(subject: Subject) -> Iterator[Violation]:
    """It gives float logits (B, K) for any number of classes K: 1, 2, 1000."""
    tries = [(trial, count) for trial in subject.trials for count in (1, 2, 1000)]
    yield from merge_places((t.label, catch_violations(lambda t=t, k=k: list(_logits(t, k)))) for t, k in tries)


@torch.no_grad()
def _logits(trial: Trial, count: int) -> Iterator[Violation]:
    logits = trial.make(count).eval()(trial.inputs(2))
    if not isinstance(logits, torch.Tensor) or logits.shape != (2, count):
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else f"a {type(logits).__name__}"
        yield Violation(f"{shape} for 2 images and {count} classes", "end in nn.Linear(..., num_classes)")
    elif logits.dtype != torch.float32:
        yield Violation(f"{logits.dtype} logits", "give float32 for float32 features")


def unknown_option(subject: Subject) -> Iterator[Violation]:
    """An option that it does not have is refused."""
    yield from option_values.try_undeclared(partial(subject.build, subject.trials[0].label))


def option_range(subject: Subject) -> Iterator[Violation]:
    """A value that makes no sense raises a ValueError that says so."""
    call = partial(subject.build, subject.trials[0].label)
    for found in option_values.try_values(subject.part, call, lambda _: "", most=0):
        yield Violation(found.text, found.fix, mild=True)


POINTS = (*WRITTEN, building, classes, unknown_option, option_range, *MODULE, freezing)
POINTS_SLOW = SLOW
