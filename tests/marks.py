"""Find out which tests start processes, ask a Hub or build wheels, from the functions that they reach."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, get_args

import pytest

HERE = str(Path(__file__).parent)


def marks(item: pytest.Item) -> set[str]:
    """The markers of a test: `process`, `hub` and `wheel`."""
    fixtures = [made.func for definitions in item._fixtureinfo.name2fixturedefs.values() for made in definitions]
    used = set(_names(inspect.unwrap(item.function).__code__))
    given = [kind for made in fixtures for kind in get_args(made.__annotations__.get("return"))]
    names = reached(item.function, *fixtures, *(method for kind in given for method in _methods(kind, used)))
    found = {
        "process": "subprocess" in names,
        "hub": "hub_server" in names or "hub_server" in item.fixturenames,
        "wheel": "wheels" in names,
    }
    return {mark for mark, is_on in found.items() if is_on}


def reached(*functions: Any) -> set[str]:
    """Names of the modules that these functions use themselves or through other functions of the tests."""
    modules, seen, waiting = set(), set(), [inspect.unwrap(function) for function in functions]
    while waiting:
        function = waiting.pop()
        if not isinstance(function, FunctionType) or function in seen or not _is_ours(function):
            continue
        seen.add(function)
        modules.add(function.__module__.rpartition(".")[2])
        names = set(_names(function.__code__))
        for thing in (function.__globals__.get(name) for name in names):
            if isinstance(thing, ModuleType):
                modules.add(thing.__name__.partition(".")[0])
            elif isinstance(thing, type):
                modules.add(thing.__module__.partition(".")[0])
                waiting += _methods(thing, names | {"__init__"})
            else:
                waiting.append(inspect.unwrap(thing) if callable(thing) else None)
        own = function.__globals__.get(function.__qualname__.partition(".")[0])
        for kind in (own, *function.__annotations__.values()):
            waiting += _methods(kind, names)
    return modules


def _is_ours(function: FunctionType) -> bool:
    return function.__code__.co_filename.startswith(HERE)


def _names(code: CodeType) -> Iterator[str]:
    """Global names and attributes in a function, those of the functions in it included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _methods(kind: Any, names: set[str]) -> list[Any]:
    """Methods of a class, by names that a function uses."""
    held = vars(kind) if isinstance(kind, type) else {}
    found = [held[name] for name in names if name in held]
    return [method.fget if isinstance(method, property) else method for method in found]
