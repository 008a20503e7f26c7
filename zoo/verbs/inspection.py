"""Inspect: import every part in a process of its own, so that a broken one is a line in a list and nothing more."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import groupby

from zoo.config.catalog import find_recipe, folder, recipes
from zoo.config.environment import parts_named
from zoo.config.recipe import Recipe
from zoo.errors import PluginError, UsageError, ZooError
from zoo.plugins import KINDS, OWN, Plugin, installed, locate, resolve, unreadable

LIMIT_S = "60"
"""Seconds that the parts of one distribution may take to import, unless `ZOO_PLUGIN_TIMEOUT_S` says otherwise."""
AT_ONCE = min(4, os.cpu_count() or 1)
CHILD = """
import json, sys
path, parts = json.loads(sys.argv[1])
sys.path[:] = path
from zoo.verbs.inspection import answer
answer(parts)
"""
Row = dict[str, str]


def inspect() -> list[Row]:
    """A row for every part: kind, name, owner, version, target, location, contract, state and error.

    state: `ok`; `failed` at import, or by what its entry point or source says; `outside-contract`: written for another
    version of the contract; `clash`: another distribution, or timm, has the same name. error: "" or a sentence.
    A distribution whose metadata cannot be read has a row without a name.
    """
    parts = [part for kind in KINDS for part in installed(kind)]
    wrong = faults(parts)
    rows = [_row(part, wrong[part]) for part in parts]
    empty = dict.fromkeys(("kind", "name", "owner", "version", "target", "location", "contract"), "")
    return rows + [{**empty, "state": "failed", "error": text} for text in unreadable()]


def _row(part: Plugin, error: str) -> Row:
    state = ("outside-contract" if part.outside_contract else "failed") if error else "ok"
    if not error and (error := _clash(part)):
        state = "clash"
    spec = locate(part.module)
    where = str(folder(part.target)) if part.kind == "recipe" else (spec.origin if spec else "") or ""
    return {**asdict(part), "location": where, "contract": part.contract, "state": state, "error": error}


def _clash(part: Plugin) -> str:
    """Whose name it is besides, "" where it is the part's alone."""
    mine = [r.name for r in recipes() if r.owner == part.owner] if part.kind == "recipe" else [part.name]
    for name in mine:
        try:
            find_recipe(name) if part.kind == "recipe" else resolve(part.kind, name)
        except ZooError as error:
            return str(error)
    return ""


def faults(parts: Iterable[Plugin]) -> dict[Plugin, str]:
    """What is wrong with each part, "" where nothing is. The zoo's own are taken as they are. Raises UsageError."""
    parts, limit = list(parts), _limit()
    found = {part: _apparent(part) for part in parts}
    unknown = [part for part in parts if not found[part] and part.owner != OWN and part.kind != "recipe"]
    owners = [list(own) for _, own in groupby(sorted(unknown, key=lambda p: p.owner), key=lambda p: p.owner)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for result in pool.map(lambda own: _imported(own, limit), owners):
            found |= result
    return found


def recipe_faults(recipe: Recipe) -> list[str]:
    """What is wrong with the parts that a recipe names, found by importing those that are not the zoo's or timm's."""
    parts = [part for kind, name in parts_named(recipe) if (part := resolve(kind, name)) is not None]
    return [text for text in faults(parts).values() if text]


def _limit() -> float:
    text = os.environ.get("ZOO_PLUGIN_TIMEOUT_S") or LIMIT_S
    try:
        if (limit := float(text)) > 0:
            return limit
    except ValueError:
        pass
    raise UsageError(f"ZOO_PLUGIN_TIMEOUT_S: expected seconds, above 0, found '{text}'")


def _apparent(part: Plugin) -> str:
    """What is wrong without an import."""
    if part.kind == "recipe" and not any(folder(part.target).glob("*.yaml")):
        return f"{part}: there are no YAML files in {part.target}"
    return part.malformed or part.outside_contract


def _imported(parts: list[Plugin], limit: float) -> dict[Plugin, str]:
    """What is wrong with each part of one distribution; after one that ends the process, another imports the rest."""
    found: dict[Plugin, str] = {}
    deadline = time.monotonic() + limit
    while waiting := parts[len(found) :]:
        answers, code = _ask(waiting, deadline - time.monotonic())
        found |= dict(zip(waiting, answers, strict=False))
        if len(answers) == len(waiting):
            break
        if code is None or code == -signal.SIGINT:
            slow = f"it took longer than {limit:g} s"
            cure = "Wait longer with ZOO_PLUGIN_TIMEOUT_S=SECONDS"
            return found | {part: str(part.unusable(slow, cure)) for part in waiting[len(answers) :]}
        culprit = waiting[len(answers)]
        found[culprit] = str(culprit.unusable(f"it {_end(code)}"))
    return found


def _ask(parts: list[Plugin], seconds: float) -> tuple[list[str], int | None]:
    """Answers of a new process, in the order of `parts`, and its exit code; None where time ran out."""
    job = json.dumps([sys.path, [asdict(part) for part in parts]])
    with tempfile.TemporaryFile() as answers:  # a pipe could be held open by a process that a plugin leaves behind
        try:
            code = subprocess.run(
                [sys.executable, "-P", "-c", CHILD, job],
                stdin=subprocess.DEVNULL,
                stdout=answers,
                stderr=subprocess.DEVNULL,
                timeout=max(seconds, 0),
            ).returncode
        except subprocess.TimeoutExpired:
            code = None
        answers.seek(0)
        return [json.loads(line) for line in answers if line.endswith(b"\n")], code


def _end(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended the process with exit code {code}"


def answer(parts: list[dict]) -> None:
    """In a process of its own: import each part and print, as a line of JSON each, what is wrong with it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        for part in map(lambda fields: Plugin(**fields), parts):
            try:
                part.load()
                wrong = ""
            except PluginError as error:
                wrong = str(error)
            except KeyboardInterrupt as error:
                wrong = str(part.unusable(type(error).__name__))
            print(json.dumps(wrong), file=answers, flush=True)
    os._exit(0)  # whatever threads and handlers the plugins leave
