"""Options with values that make no sense, and options that nobody declared."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from zoo.errors import ZooError
from zoo.testing.part import Part
from zoo.testing.report import Violation, one_line

UNDECLARED = "an_option_that_nobody_declared"
WRONG: dict[str, tuple[Any, ...]] = {
    "int": (-1, 0, 10**6),
    "float": (-1.0,),
    "str": ("no-such-value",),
}
"""Values per word of a plain annotation that few options can mean."""


def try_undeclared(call: Callable[..., Any]) -> Iterator[Violation]:
    """What a part does with an option that it never declared."""
    try:
        call(**{UNDECLARED: 1})
    except (TypeError, ValueError, ZooError):
        return
    yield Violation(f"{UNDECLARED}=1 was taken without a word", "name the options one by one instead of **options")


def try_values(
    part: Part, call: Callable[..., Any], accepts: Callable[[Any], str], most: int | None = None
) -> Iterator[Violation]:
    """What a part makes of values that make no sense: a ValueError with a text, or something that `accepts` finds sound.

    accepts: what is wrong with a result, '' for nothing. most: integers above are not tried.
    """
    for parameter in part.parameters():
        for value in _wrong_values(parameter):
            if most is not None and isinstance(value, int) and value > most:
                continue
            given = f"{parameter.name}={value!r}"
            fix = f"raise ValueError(f'{parameter.name}={{{parameter.name}}} must ...') before anything is built"
            try:
                fault = accepts(call(**{parameter.name: value}))
            except (ValueError, ZooError) as error:
                if not str(error).strip():
                    yield Violation(f"{given} raised {type(error).__name__} without a text", fix)
            except Exception as error:
                yield Violation(f"{given} raised {type(error).__name__}: {one_line(str(error), 100)}", fix)
            else:
                if fault:
                    yield Violation(f"{given} {fault}", fix)


def _wrong_values(parameter: inspect.Parameter) -> Iterator[Any]:
    text = parameter.annotation
    text = text if isinstance(text, str) else inspect.formatannotation(text)
    for word in (w.strip(" '") for w in text.split("|")):
        yield from WRONG.get(word, ())
