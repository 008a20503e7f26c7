"""Rows about how soon something happens: light commands, and the first step of quickstart."""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from row import Row
from setting import Setting

PYTHON = Path(sys.executable)
LIGHT = (("--help",), ("list", "recipes"), ("show", "quickstart"))
CLICK = "python -c 'import click'"
HEAVY = "python -c 'import torch, timm'"
FIRST_STEP = [PYTHON, Path(__file__).with_name("first_step.py"), "quickstart"]


def startup(setting: Setting) -> Iterator[Row]:
    """Light commands, which import no torch."""
    commands = {"click": [PYTHON, "-c", "import click"]}
    commands |= {" ".join(words): [PYTHON.with_name("zoo"), *words] for words in LIGHT}
    seconds = _alternate(setting, commands)
    for name in list(commands)[1:]:
        yield Row("startup", f"zoo {name}", CLICK, "s", seconds[name], seconds["click"], "<= 3")


def first_step(setting: Setting) -> Iterator[Row]:
    """Quickstart: its first batch through the model, and its first step of the optimiser, features kept from before."""
    commands = {"heavy": [PYTHON, "-c", "import torch, timm"]}
    commands |= {"batch": [*FIRST_STEP, "features", "epoch"], "step": [*FIRST_STEP, "epoch"]}
    seconds = _alternate(setting, commands)
    for name, what in (("batch", "first batch through the model"), ("step", "first step of the optimiser")):
        yield Row("first-step", f"quickstart: {what}", HEAVY, "s", seconds[name], seconds["heavy"], "<= 1.5")


def _alternate(setting: Setting, commands: dict[str, list]) -> dict[str, list[float]]:
    """Seconds of each command, one of each in every round; the first round fills caches and is dropped."""
    taken: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(setting.rounds + 1):
            for name, command in commands.items():
                began = _children(setting)
                subprocess.run(list(map(str, command)), cwd=folder, check=True, stdout=subprocess.DEVNULL)
                taken[name].append(_children(setting) - began)
    return {name: values[1:] for name, values in taken.items()}


def _children(setting: Setting) -> float:
    """The clock, or the processor time of all children so far."""
    if setting.clock == "wall":
        return time.perf_counter()
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime
