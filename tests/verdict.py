"""What a check says of a part."""

from typing import Any

from zoo.testing.checks import outcomes
from zoo.testing.part import Part


def verdict(kind: str, given: Any, **options: Any) -> dict[str, dict[str, list[str]]]:
    """State -> point -> what was found, for a callable or a name built with `options`."""
    told: dict[str, dict[str, list[str]]] = {"ok": {}, "failed": {}, "warning": {}, "skipped": {}}
    for outcome in outcomes(Part(kind, given, options)):
        told[outcome.state].setdefault(outcome.point, []).append(outcome.found)
    return told


def failed(kind: str, given: Any, **options: Any) -> dict[str, str]:
    """Point -> what was found, for the points that failed."""
    return {point: "; ".join(found) for point, found in verdict(kind, given, **options)["failed"].items()}
