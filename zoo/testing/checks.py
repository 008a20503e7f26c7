"""Kind -> points, and the functions that ask them all."""

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from zoo.errors import ContractError
from zoo.plugins import KINDS
from zoo.testing.part import Part
from zoo.testing.report import Outcome, Point, asks, judge, name_of
from zoo.testing.source_checks import WRITTEN, importing


def outcomes(part: Part) -> Iterator[Outcome]:
    """How each point of the part's kind went, in order. Raises UnknownName for a name that nothing carries."""
    _ = part.plugin
    imported = list(judge(importing, part))
    yield from imported
    if any(outcome.state == "failed" for outcome in imported):
        return
    module = _module(part.kind)
    subject = module.Subject(part) if module else None
    for point in points(part.kind, part.slow):
        yield from judge(point, part if point in WRITTEN else subject)


def points(kind: str, slow: bool = False) -> tuple[Point, ...]:
    """The points of a kind, in order; each one's docstring is what the contract asks."""
    module = _module(kind)
    if module is None:
        return WRITTEN
    return (*module.POINTS, *(module.POINTS_SLOW if slow else ()))


def list_points(kind: str) -> list[tuple[str, str]]:
    """(point, what it asks) for every point of a kind, the slow ones last."""
    return [(name_of(point), asks(point)) for point in (importing, *points(kind, slow=True))]


def _module(kind: str) -> Any:
    """The module with the points of a kind, None for a kind of which only what is written is checked."""
    return import_module(KINDS[kind].checks) if KINDS[kind].checks else None


def check(part: Part) -> None:
    """Raises ContractError with every broken point."""
    broken = [outcome.line(part.label) for outcome in outcomes(part) if outcome.state == "failed"]
    if broken:
        raise ContractError(broken)


def check_backbone(
    build: Callable[..., Any] | str, *, image_size: int | None = None, slow: bool = False, **options: Any
) -> None:
    """Check a backbone, or a registered one by `name` or `owner:name`, built with random weights and `options`.

    image_size: side in pixels of the images, None for the smallest that it takes. slow: also compile, and load weights.
    Raises ContractError with every broken point.
    """
    check(Part("backbone", build, options, slow, image_size))


def check_head(head: Callable[..., Any] | str, *, slow: bool = False, **options: Any) -> None:
    """Check a head, or a registered one by name, on every layout of a feature map. slow: also compile.

    Raises ContractError with every broken point.
    """
    check(Part("head", head, options, slow))


def check_schedule(schedule: Callable[..., Any] | str, **options: Any) -> None:
    """Check a freezing schedule, or a registered one by name. Raises ContractError with every broken point."""
    check(Part("schedule", schedule, options))


def check_adapter(adapter: Callable[..., Any] | str, **options: Any) -> None:
    """Check an adapter, or a registered one by name. Raises ContractError with every broken point."""
    check(Part("adapter", adapter, options))


def check_loss(loss: Callable[..., Any] | str, **options: Any) -> None:
    """Check a loss, or a registered one by name. Raises ContractError with every broken point."""
    check(Part("loss", loss, options))


def check_method(method: Callable[..., Any] | str, **options: Any) -> None:
    """Check a method, or a registered one by name. Raises ContractError with every broken point."""
    check(Part("method", method, options))


def check_recipe(path: str | Path) -> None:
    """Check a recipe file. Raises ContractError with every broken point."""
    check(Part("recipe", Path(path)))
