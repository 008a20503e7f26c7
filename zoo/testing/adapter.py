"""The points of an adapter."""

from collections.abc import Iterator
from functools import cached_property, partial
from typing import Any

import timm
import torch
from torch import nn
from torch.nn import functional as F

from zoo.contracts import Adapted
from zoo.testing import option_values
from zoo.testing.module import close, describe_difference, perturb
from zoo.testing.part import Part
from zoo.testing.report import Skip, Violation, catch_violations, merge_places, quote_names
from zoo.testing.source_checks import WRITTEN

BACKBONES = ("test_vit", "test_resnet", "test_convnext")
SIZE, CLASSES = 32, 5


class Subject:
    """An adapter in small models of three families; a family may be refused by a ValueError."""

    def __init__(self, part: Part) -> None:
        self.part = part

    def backbone(self, name: str) -> nn.Module:
        torch.manual_seed(0)
        options = {"img_size": SIZE} if name == "test_vit" else {}
        return perturb(timm.create_model(name, num_classes=CLASSES, **options)).eval()

    def adapt(self, backbone: nn.Module, **options: Any) -> Adapted:
        return self.part.call(backbone, **{**self.part.options, **options})

    @cached_property
    def taken(self) -> list[str]:
        """The families that it takes. Raises Skip if an option without a default was not given."""
        if needed := self.part.needs():
            raise Skip(f"it needs {needed[0]}=..., which has no default; pass it to check_adapter")
        return [name for name in BACKBONES if self._takes(name)]

    def _takes(self, name: str) -> bool:
        try:
            self.adapt(self.backbone(name))
        except ValueError:
            return False
        return True

    @property
    def images(self) -> torch.Tensor:
        """Four random images (4, 3, 32, 32)."""
        return torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def families(subject: Subject) -> Iterator[Violation]:
    """It takes at least one family of backbones, and gives a zoo.contracts.Adapted."""
    if not subject.taken:
        yield Violation(
            f"a ValueError for each of {quote_names(BACKBONES)}", "take vision transformers or convolutional nets"
        )
    for name in subject.taken:
        if not isinstance(made := subject.adapt(subject.backbone(name)), Adapted):
            yield Violation(f"a {type(made).__name__}", "return Adapted(model, merge)")
            return


def untrained(subject: Subject) -> Iterator[Violation]:
    """Before training the logits are those of the backbone."""

    @torch.no_grad()
    def compare(name: str) -> Iterator[Violation]:
        expected = subject.backbone(name)(subject.images)
        found = subject.adapt(subject.backbone(name)).model.eval()(subject.images)
        if not close(found, expected):
            yield Violation(describe_difference(found, expected), "begin with one of its factors at zero")

    yield from merge_places((n, catch_violations(lambda n=n: list(compare(n)))) for n in subject.taken)


def training(subject: Subject) -> Iterator[Violation]:
    """Its new parameters get gradients; after a step `merge` gives a plain model, named as before, with the same logits."""
    yield from merge_places((n, catch_violations(lambda n=n: list(_train(subject, n)))) for n in subject.taken)


def _train(subject: Subject, name: str) -> Iterator[Violation]:
    plain, given = subject.backbone(name), subject.backbone(name)
    came = {id(p) for p in given.parameters()}
    adapted = subject.adapt(given)
    new = {n: p for n, p in adapted.model.named_parameters() if id(p) not in came}
    if not new:
        yield Violation("no new parameters", "add some; those that the backbone had stay fixed")
        return
    steps = torch.optim.SGD(new.values(), lr=0.5)
    for _ in range(2):  # the gradient of one factor is zero while the other is
        F.cross_entropy(adapted.model.train()(subject.images), torch.arange(4)).backward()
        if cut := [n for n, p in new.items() if p.grad is None]:
            yield Violation(f"no gradient at {quote_names(cut)}", "use each of them in forward")
            return
        steps.step()
    with torch.no_grad():
        expected = adapted.model.eval()(subject.images)
        merged = adapted.merge().eval()
        found = merged(subject.images)
    if strange := sorted(merged.state_dict().keys() ^ plain.state_dict().keys()):
        yield Violation(
            f"merged, {quote_names(strange)} is in one of the two models only", "give back the backbone's own modules"
        )
    if not close(found, expected):
        yield Violation(
            f"merged, {describe_difference(found, expected)}", "add the whole product, with its scale, to the weight"
        )
    if torch.equal(expected, plain(subject.images)):
        yield Violation("a step at rate 0.5 changed no logit", "let the new parameters bear on the output")


def unknown_option(subject: Subject) -> Iterator[Violation]:
    """An option that it does not have is refused."""
    if not subject.taken:
        raise Skip("it takes none of the families")
    yield from option_values.try_undeclared(partial(subject.adapt, subject.backbone(subject.taken[0])))


POINTS = (*WRITTEN, families, untrained, training, unknown_option)
POINTS_SLOW = ()
