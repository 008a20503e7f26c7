"""The points of a freezing schedule. Nothing here imports torch, as no schedule does."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from functools import cached_property, partial
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from zoo.contracts import HEAD, Phase
from zoo.testing import option_values
from zoo.testing.part import Part
from zoo.testing.report import Skip, Violation, one_line
from zoo.testing.source_checks import WRITTEN

COUNTS = (1, 2, 3, 6, 14)
"""Groups of a model: from a head alone to a vision transformer."""
EPOCHS = (1, 2, 3, 5, 10, 30)
USUAL = (6, 10)
"""Groups and epochs that every schedule must be able to plan."""
PHASE = {name: TypeAdapter(hint) for name, hint in get_type_hints(Phase).items()}


def groups_of(count: int) -> tuple[str, ...]:
    """`stem`, `stage1`, ..., `head`, as models have them."""
    return ("stem", *(f"stage{i}" for i in range(1, count - 1)), HEAD)[-count:]


class Subject:
    """A schedule and its plans for models of several depths and runs of several lengths."""

    def __init__(self, part: Part) -> None:
        self.part = part

    def plan(self, count: int, epochs: int, **options: Any) -> Any:
        return self.part.call(groups_of(count), epochs, **{**self.part.options, **options})

    @cached_property
    def plans(self) -> dict[tuple[int, int], Any]:
        """(groups, epochs) -> what the schedule gave, or its ValueError. Raises whatever else it raises."""
        if needed := self.part.needs():
            raise Skip(f"it needs {needed[0]}=..., which has no default; pass it to check_schedule")
        made = {}
        for count in COUNTS:
            for epochs in EPOCHS:
                try:
                    made[count, epochs] = self.plan(count, epochs)
                except ValueError as error:
                    made[count, epochs] = error
        return made

    def sound(self) -> list[tuple[tuple[int, int], tuple[Phase, ...]]]:
        """The plans that are tuples of phases. Raises Skip where there are none, of which `planning` tells."""
        try:
            plans = self.plans
        except (Skip, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise Skip("it does not plan") from error
        sound = [
            (key, plan) for key, plan in plans.items() if not isinstance(plan, ValueError) and not type_fault(plan)
        ]
        if not sound:
            raise Skip("it gives no plan to look at")
        return sound


def type_fault(plan: Any) -> str:
    """What is wrong with the types of a plan, '' where nothing is."""
    if not isinstance(plan, tuple):
        return f"gave a {type(plan).__name__} instead of a tuple"
    if strange := [phase for phase in plan if not isinstance(phase, Phase)]:
        return f"gave a {type(strange[0]).__name__} instead of a zoo.contracts.Phase"
    for phase in plan:
        for name, kind in PHASE.items():
            try:
                kind.validate_python(getattr(phase, name), strict=True)
            except ValidationError as error:
                return f"gave a phase whose {name} is {getattr(phase, name)!r:.60}: {error.errors()[0]['msg']}"
    return ""


def plan_fault(plan: Any, groups: tuple[str, ...], epochs: int) -> str:
    """What is wrong with a plan, '' where nothing is."""
    return type_fault(plan) or _group_fault(plan, groups) or _epoch_fault(plan, epochs)


def _epoch_fault(plan: tuple[Phase, ...], epochs: int) -> str:
    if short := [phase.epochs for phase in plan if phase.epochs < 1]:
        return f"gave a phase of {short[0]} epochs"
    total = sum(phase.epochs for phase in plan)
    return "" if total == epochs else f"gave phases of {total} epochs for epochs={epochs}"


def _group_fault(plan: tuple[Phase, ...], groups: tuple[str, ...]) -> str:
    for phase in plan:
        named = phase.trainable
        if unknown := [g for g in (*named, *phase.lr_scale) if g not in groups]:
            return f"names the group '{unknown[0]}', but the groups are {', '.join(groups)}"
        if not named or len(set(named)) < len(named):
            return f"gave a phase with trainable={named!r}: {'a group twice' if named else 'nothing trains'}"
        if wrong := [(g, scale) for g, scale in phase.lr_scale.items() if not 0 < scale < float("inf")]:
            return f"gave lr_scale={wrong[0][1]!r} to '{wrong[0][0]}'"
    return ""


def planning(subject: Subject) -> Iterator[Violation]:
    """It gives a tuple of zoo.contracts.Phase for any model and run, or a ValueError that says why not."""
    for (count, epochs), plan in subject.plans.items():
        place = f"for {count} groups and {epochs} epochs"
        if isinstance(plan, ValueError):
            if not str(plan).strip():
                yield Violation(f"a ValueError without a text {place}", "say which option must be what")
                return
        elif fault := type_fault(plan):
            fix = "return tuple(phases), and in each Phase what zoo.contracts says: trainable is a tuple of names"
            yield Violation(f"it {fault} {place}", fix)
            return
    if isinstance(usual := subject.plans[USUAL], ValueError):
        text = f"a ValueError for {USUAL[0]} groups and {USUAL[1]} epochs: {one_line(str(usual))}"
        yield Violation(text, "choose defaults that fit the usual run, or pass options to check_schedule", mild=True)


def epochs(subject: Subject) -> Iterator[Violation]:
    """The phases' epochs add up to the run's, and each phase has at least one."""
    for (count, length), plan in subject.sound():
        if fault := _epoch_fault(plan, length):
            fix = "give the last phase what is left over, and raise ValueError where epochs are too few"
            yield Violation(f"it {fault} and {count} groups", fix)
            return


def groups(subject: Subject) -> Iterator[Violation]:
    """Each phase trains at least one of the model's groups, each named once, at a learning-rate factor above 0."""
    for (count, length), plan in subject.sound():
        if fault := _group_fault(plan, groups_of(count)):
            yield Violation(f"it {fault} ({count} groups, {length} epochs)", "take names from `groups` alone")
            return


def head(subject: Subject) -> Iterator[Violation]:
    """The head, new and random, trains in the first phase."""
    for (count, length), plan in subject.sound():
        if plan and HEAD not in plan[0].trainable:
            never = all(HEAD not in phase.trainable for phase in plan)
            text = f"it {'never trains' if never else 'trains later'} ({count} groups, {length} epochs)"
            yield Violation(text, "name groups[-1] in trainable", mild=not never)
            return


def purity(subject: Subject) -> Iterator[Violation]:
    """The same groups, epochs and options always give the same plan, and a plan never changes afterwards."""
    plans = dict(subject.sound())
    before = {key: as_json(plan) for key, plan in plans.items()}
    fix = "compute from the arguments alone: no random, time, globals or mutable defaults"
    for seed in range(3):
        random.seed(seed)
        for key in sorted(plans, reverse=bool(seed % 2)):
            if as_json(subject.plan(*key)) != before[key]:
                yield Violation(f"another plan when asked again for {key[0]} groups and {key[1]} epochs", fix)
                return
    if changed := [key for key, plan in plans.items() if as_json(plan) != before[key]]:
        yield Violation(f"the plan for {changed[0][0]} groups changed when others were asked for", fix)


def elsewhere(subject: Subject) -> Iterator[Violation]:
    """Another process plans the same, and importing the schedule imports no torch."""
    part = subject.part
    name = getattr(part.call, "__qualname__", "")
    if getattr(sys.modules.get(part.call.__module__), name, None) is not part.call:
        raise Skip("it is not defined at the top of a module")
    answers = [_ask(part, seed) for seed in ("1", "2")]
    here = {f"{count} {length}": as_json(plan) for (count, length), plan in subject.sound()}
    for answer in answers:
        if "error" in answer:
            raise Skip(f"another process cannot import it: {answer['error']}")
        if differing := [key for key, plan in answer["plans"].items() if here.get(key, plan) != plan]:
            count, length = differing[0].split()
            text = f"another plan in another process for {count} groups and {length} epochs"
            yield Violation(text, "leave sets and hashes out: their order differs between processes")
            return
    if answers[0]["torch"]:
        yield Violation(f"importing {part.module} imports torch", "import torch within functions, or in another module")


def _ask(part: Part, seed: str) -> dict[str, Any]:
    """What a fresh process says, whose hashes are seeded otherwise."""
    asked = {"module": part.call.__module__, "name": part.call.__qualname__, "path": sys.path}
    code = "from zoo.testing.schedule import answer; answer()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps({**asked, "options": dict(part.options)}, default=str),
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    return json.loads(lines[-1]) if lines and not done.returncode else {"error": one_line(done.stderr[-300:])}


def answer() -> None:
    """The other side of `elsewhere`: read a question on stdin, print the plans as JSON."""
    from importlib import import_module

    asked = json.loads(sys.stdin.read())
    sys.path[:] = asked["path"]
    call = getattr(import_module(asked["module"]), asked["name"])
    torch = "torch" in sys.modules
    plans = dict(Subject(Part("schedule", call, asked["options"])).sound())
    print(json.dumps({"torch": torch, "plans": {f"{c} {e}": as_json(plan) for (c, e), plan in plans.items()}}))


def as_json(plan: tuple[Phase, ...]) -> list[Any]:
    """A plan as JSON that can be compared."""
    rows = [{f.name: getattr(phase, f.name) for f in fields(Phase)} for phase in plan]
    return json.loads(json.dumps([{**row, "lr_scale": dict(row["lr_scale"])} for row in rows]))


def unknown_option(subject: Subject) -> Iterator[Violation]:
    """An option that it does not have is refused."""
    _ = subject.plans
    yield from option_values.try_undeclared(partial(subject.plan, *USUAL))


def option_range(subject: Subject) -> Iterator[Violation]:
    """A value that makes no sense raises a ValueError that says so."""
    _ = subject.plans
    count, length = USUAL
    call = partial(subject.plan, count, length)
    yield from option_values.try_values(subject.part, call, lambda plan: plan_fault(plan, groups_of(count), length))


POINTS = (*WRITTEN, planning, epochs, groups, head, purity, elsewhere, unknown_option, option_range)
POINTS_SLOW = ()
