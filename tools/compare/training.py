"""Runs in a tree: the commands that train them, one process for all, and what became of each."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from compare.runs import BASE, RUNS
from compare.trees import Tree

DRIVER = Path(__file__).with_name("driver.py")
KILLED_AT = (3, 9)
"""First and last optimiser step after which a run may be killed, of 15."""


def kill_step(seed: int) -> int:
    """The step to kill at, drawn from a seed."""
    return random.Random(seed).randint(*KILLED_AT)


def train(tree: Tree, names: list[str], kill_at: int) -> dict[str, str]:
    """Train the named runs of `RUNS` into `tree.work`/NAME. Name -> '' or the last line that a failed one said."""
    recipe = tree.work / "base.yaml"
    recipe.write_text(BASE, encoding="utf-8")
    steps = [(name, command) for name in names for command in _commands(tree, name, recipe, kill_at)]
    plan = tree.work / "commands.json"
    plan.write_text(json.dumps([command for _, command in steps]), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(DRIVER), str(plan)],
        env=tree.environment,
        cwd=tree.work,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    failed = dict.fromkeys(names, "")
    for (name, command), code in zip(steps, json.loads(done.stdout), strict=True):
        if code and not failed[name]:
            failed[name] = _last_line(Path(command["log"])) or f"exit code {code}"
    return failed


def _commands(tree: Tree, name: str, recipe: Path, kill_at: int) -> list[dict[str, Any]]:
    """The commands of a run, in order."""
    run, folder = RUNS[name], str(tree.work / name)
    words = ["finetune", "--recipe", str(recipe), "--out", folder, *map(tree.spelled, run.settings)]
    if run.processes > 1:
        words += ["--processes", str(run.processes)]
    shared = {"log": str(tree.work / f"{name}.log"), "run": folder}
    commands = [{**shared, "words": words, "kill_at": kill_at if run.killed else None}]
    if run.killed:
        commands.append({**shared, "words": ["resume", folder], "kill_at": None})
    return commands


def _last_line(log: Path) -> str:
    return next(reversed(log.read_text(encoding="utf-8", errors="replace").splitlines()), "")
