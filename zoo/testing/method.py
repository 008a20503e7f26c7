"""The points of a method: what it learns from a batch, and that training can stop and go on."""

import copy
from collections.abc import Iterator
from functools import cached_property, partial
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.contracts import At, Given, Seen
from zoo.testing import option_values
from zoo.testing.module import Built, build_watched, perturb, tensors
from zoo.testing.part import Part
from zoo.testing.report import Skip, Violation, catch_violations, merge_places, quote_names
from zoo.testing.source_checks import WRITTEN

IMAGES, CLASSES, SIZE, STEPS = 4, 5, 32, 10
DATA = ("with labels", "without labels")


class Subject:
    """A method around a small network, with labels (a classifier) and without (a backbone alone).

    A method may refuse one of the two by a ValueError, as it may need labels or have no use for them.
    """

    def __init__(self, part: Part) -> None:
        self.part = part

    def build(self, data: str = DATA[0], **options: Any) -> nn.Module:
        """A learner around a new network with random weights."""
        return self._around(_network(data), data, **options)

    def _around(self, model: nn.Module, data: str, **options: Any) -> nn.Module:
        labelled = data == DATA[0]
        loss = partial(F.cross_entropy, reduction="none") if labelled else None
        given = Given(loss=loss, classes=CLASSES if labelled else 0, image_size=SIZE, channels=3)
        return self.part.call(model, given, **{**self.part.options, **options})

    def keeps(self, data: str) -> bool:
        """Whether the learner's `model` is the very one that it was given."""
        model = _network(data)
        return getattr(self._around(model, data), "model", None) is model

    @cached_property
    def built(self) -> dict[str, Built]:
        """What the method gave for each kind of data that it takes. Raises Skip if an option is missing."""
        if needed := self.part.needs():
            raise Skip(f"it needs {needed[0]}=..., which has no default; pass it to check_method")
        found = {}
        for data in DATA:
            try:
                found[data] = build_watched(partial(self._around, _network(data), data))
            except ValueError:
                continue
        return found

    def learners(self) -> dict[str, nn.Module]:
        """A copy of each learner. Raises Skip if none is a module with the model in it."""
        if not self.built or catch_violations(lambda: list(building(self))):
            raise Skip("it does not build a learner")
        return {data: copy.deepcopy(built.result) for data, built in self.built.items()}

    def seen(self, seed: int = 0) -> Seen:
        """A batch of random images (4, 3, 32, 32) with targets (4,)."""
        images = torch.randn(IMAGES, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
        return Seen(images, torch.arange(IMAGES) % CLASSES, torch.ones(IMAGES), torch.arange(IMAGES))


def _network(data: str) -> nn.Module:
    """A classifier for data with labels, a backbone alone for others; always with the same random weights."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return perturb(timm.create_model("test_resnet", num_classes=CLASSES if data == DATA[0] else 0))


def _at(step: int) -> At:
    return At(step, STEPS, 0, step)


def _run(learner: nn.Module, seen: Seen, step: int = 0) -> dict[str, Tensor]:
    """The learner's answer, with torch's generator seeded as training seeds it for each step."""
    torch.manual_seed(step)
    return learner(seen, _at(step))


def building(subject: Subject) -> Iterator[Violation]:
    """build(model, given, **options) gives a torch module whose `model` is that model, with `after_step`."""
    if not subject.built:
        yield Violation("a ValueError with labels and without", "take at least one of the two")
    for data, built in subject.built.items():
        yield from built.habits()
        learner = built.result
        if not isinstance(learner, nn.Module):
            yield Violation(f"a {type(learner).__name__}", "return a torch.nn.Module")
        elif not isinstance(getattr(learner, "model", None), nn.Module):
            yield Violation(f"no module at `model` {data}", "keep the model that is given under that name")
        elif not callable(getattr(learner, "after_step", None)):
            yield Violation("no after_step(at)", "write one, empty if there is nothing to update")


def same_model(subject: Subject) -> Iterator[Violation]:
    """`model` is the very module that was given, since it is what is saved at the end."""
    for data in subject.built:
        if not subject.keeps(data):
            yield Violation(f"another module {data}", "keep the one that is given instead of a copy")


def values(subject: Subject) -> Iterator[Violation]:
    """forward(seen, at) gives a mapping with `loss`, one finite value per image (B,), and other finite (B,) to log."""

    def read(learner: nn.Module) -> Iterator[Violation]:
        found = _run(learner.train(), subject.seen())
        if not hasattr(found, "keys") or "loss" not in found:
            yield Violation(f"a {type(found).__name__} without 'loss'", "return {'loss': ...}")
            return
        for name, value in found.items():
            if not isinstance(value, Tensor) or value.shape != (IMAGES,):
                what = tuple(value.shape) if isinstance(value, Tensor) else f"a {type(value).__name__}"
                fix = "give one value per image; expand what belongs to the batch"
                yield Violation(f"'{name}' is {what} for {IMAGES} images", fix)
            elif not value.isfinite().all():
                yield Violation(f"'{name}' is NaN or infinite", "guard divisions, logarithms and roots")

    yield from merge_places((d, catch_violations(lambda m=m: list(read(m)))) for d, m in subject.learners().items())


def gradients(subject: Subject) -> Iterator[Violation]:
    """A finite gradient reaches every parameter that requires one."""

    def read(learner: nn.Module) -> Iterator[Violation]:
        _run(learner.train(), subject.seen())["loss"].sum().backward()
        trainable = {name: p for name, p in learner.named_parameters() if p.requires_grad}
        if cut := [name for name, p in trainable.items() if p.grad is None]:
            fix = "use each in forward, or set requires_grad=False where a teacher must not train"
            yield Violation(f"none at {quote_names(cut)}", fix)
        elif wild := [name for name, p in trainable.items() if not p.grad.isfinite().all()]:
            yield Violation(f"NaN or infinity at {quote_names(wild)}", "guard divisions, logarithms and roots near 0")

    yield from merge_places((d, catch_violations(lambda m=m: list(read(m)))) for d, m in subject.learners().items())


def resuming(subject: Subject) -> Iterator[Violation]:
    """After its state is loaded into a new learner, the next step is bit-equal: all state is parameters and buffers."""

    def read(data: str) -> Iterator[Violation]:
        one, other = subject.build(data).train(), subject.build(data).train()
        _step(one, subject.seen(), 0)
        if strange := sorted(one.state_dict().keys() ^ other.state_dict().keys()):
            yield Violation(f"{quote_names(strange)} in only one of the two", "create all state in __init__")
            return
        other.load_state_dict(one.state_dict())
        for learner in (one, other):
            _step(learner, subject.seen(1), 1)
        now, there = tensors(one), tensors(other)
        if differing := [name for name in now if not torch.equal(now[name], there[name])]:
            yield Violation(
                f"after the step {quote_names(differing)} differ",
                "keep state in parameters and saved buffers, and compute schedules from `at`",
            )

    subject.learners()
    yield from merge_places((d, catch_violations(lambda d=d: list(read(d)))) for d in subject.built)


def _step(learner: nn.Module, seen: Seen, step: int) -> None:
    """One step of plain gradient descent, as training takes it."""
    trainable = [p for p in learner.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trainable, lr=0.01)
    _run(learner, seen, step)["loss"].mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    with torch.no_grad():
        learner.after_step(_at(step))


def eval_mode(subject: Subject) -> Iterator[Violation]:
    """In eval mode a forward moves no parameter and no buffer."""

    @torch.no_grad()
    def read(learner: nn.Module) -> Iterator[Violation]:
        before = tensors(learner.eval())
        _run(learner, subject.seen())
        if moved := [name for name, now in tensors(learner).items() if not torch.equal(now, before[name])]:
            yield Violation(f"{quote_names(moved)} moved", "update queues and centres in train mode alone")

    yield from merge_places((d, catch_violations(lambda m=m: list(read(m)))) for d, m in subject.learners().items())


def classifying(subject: Subject) -> Iterator[Violation]:
    """Where it has `classify`, it gives logits (B, K) for images, by which it is validated."""
    learner = subject.learners().get(DATA[0])
    if learner is None or not hasattr(learner, "classify"):
        raise Skip("it has no classify, so its loss is validated")
    with torch.no_grad():
        logits = learner.eval().classify(subject.seen().inputs)
    if not isinstance(logits, Tensor) or logits.shape != (IMAGES, CLASSES):
        what = tuple(logits.shape) if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        yield Violation(f"{what} for {IMAGES} images and {CLASSES} classes", "give (B, K)")


def unknown_option(subject: Subject) -> Iterator[Violation]:
    """An option that it does not have is refused."""
    if not subject.built:
        raise Skip("it does not build")
    yield from option_values.try_undeclared(partial(subject.build, next(iter(subject.built))))


POINTS = (*WRITTEN, building, same_model, values, gradients, resuming, eval_mode, classifying, unknown_option)
POINTS_SLOW = ()
