"""A point of the contract: a function whose docstring says what is asked and which yields what was found otherwise."""

import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from zoo.plugins import escape

State = Literal["ok", "failed", "warning", "skipped"]


@dataclass(frozen=True)
class Violation:
    """One breach of a point: what was found, and how to fix it. mild: a warning, not a failure."""

    text: str
    fix: str
    mild: bool = False


class Skip(Exception):
    """A point that cannot be checked here; the text says why."""


@dataclass(frozen=True)
class Outcome:
    """How one point went. asks: what the contract asks; found and fix are empty if all is well."""

    point: str
    state: State
    asks: str
    found: str = ""
    fix: str = ""

    def line(self, part: str) -> str:
        """The whole story in one line; `part` reads like "head 'paw' of zoo-paw 1.0"."""
        return f"{part}: {self.point}: asked: {self.asks} Found: {self.found}. Fix: {self.fix}."


Point = Callable[[Any], Iterable[Violation]]


def name_of(point: Point) -> str:
    return point.__name__.replace("_", " ")


def asks(point: Point) -> str:
    """The first paragraph of a point's docstring, in one line."""
    return one_line((point.__doc__ or "").partition("\n\n")[0])


def judge(point: Point, subject: Any) -> Iterator[Outcome]:
    """What a point finds in a subject, whatever the plugin does meanwhile: one outcome if it is kept, else one a breach."""
    name, asked = name_of(point), asks(point)
    try:
        found = list(dict.fromkeys(catch_violations(lambda: list(point(subject)))))
    except Skip as reason:
        yield Outcome(name, "skipped", asked, str(reason))
        return
    if not found:
        yield Outcome(name, "ok", asked)
    for one in found:
        yield Outcome(name, "warning" if one.mild else "failed", asked, one.text, one.fix)


def catch_violations(run: Callable[[], list[Violation]]) -> list[Violation]:
    """What `run` returns; what it raises, SystemExit included, becomes a breach that says where."""
    try:
        return run()
    except (KeyboardInterrupt, Skip):
        raise
    except BaseException as error:
        return [Violation(f"it raised {_describe_error(error)}", f"look at {_origin(error)}")]


def _describe_error(error: BaseException) -> str:
    try:
        text = one_line(str(error))
    except Exception:
        text = "its message raises as well"
    return f"{type(error).__name__}: {text or 'no text'}"


def merge_places(answers: Iterable[tuple[str, Iterable[Violation]]]) -> Iterator[Violation]:
    """What was found at several places, the same told once with all its places. answers: (place, what was found)."""
    met: dict[Violation, list[str]] = {}
    for place, found in answers:
        for one in found:
            met.setdefault(one, []).append(place)
    for one, places in met.items():
        yield (
            replace(one, text=f"{one.text} ({quote_names(dict.fromkeys(filter(None, places)))})")
            if any(places)
            else one
        )


def _origin(error: BaseException) -> str:
    """File and line, innermost first, where code raised that is neither torch's nor the zoo's."""
    frames = traceback.extract_tb(error.__traceback__)
    here = str(Path(__file__).parent)
    foreign = ("/torch/", "/timm/", "/importlib/", "<frozen", here)
    own = [f for f in frames if not any(word in f.filename for word in foreign)] or frames
    return f"{own[-1].filename}:{own[-1].lineno}"


def one_line(text: str, limit: int = 400) -> str:
    """A text with line breaks and runs of spaces as one space, cut where it is long."""
    text = escape(" ".join(text.split()))
    return text if len(text) <= limit else f"{text[:limit]} ..."


def quote_names(names: Iterable[str], count: int = 4) -> str:
    """The first few names, quoted, and how many more there are."""
    names = list(names)
    shown = ", ".join(f"'{name}'" for name in names[:count])
    return shown if len(names) <= count else f"{shown} and {len(names) - count} more"
