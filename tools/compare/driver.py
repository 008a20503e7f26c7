"""Runs `zoo` commands one after another in one process, so that torch is imported once.

python driver.py FILE: a JSON list of {"log", "words", "kill_at", "run"}; the list of exit codes is printed. A command with
`kill_at` gets a process of its own, which is killed once its run folder has a checkpoint of that step or a later one.
"""

import json
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PAUSE_S = 0.005
"""Seconds between two looks for a checkpoint."""


def main() -> int:
    commands = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(json.dumps([run(command) for command in commands]))
    return 0


def run(command: dict[str, Any]) -> int:
    """Run one command; its exit code."""
    with output_to(Path(command["log"])):
        if command["kill_at"] is None:
            return run_here(command["words"])
        return run_and_kill(command["words"], Path(command["run"]), command["kill_at"])


def run_here(words: list[str]) -> int:
    """`python -m zoo WORDS`, but in this process."""
    sys.argv = ["zoo", *words]
    try:
        runpy.run_module("zoo", run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def run_and_kill(words: list[str], folder: Path, step: int) -> int:
    """`python -m zoo WORDS`, killed at a step; 0 where it was, 1 where the run ended before."""
    process = subprocess.Popen([sys.executable, "-m", "zoo", *words])
    while process.poll() is None and newest_step(folder) < step:
        time.sleep(PAUSE_S)
    process.kill()
    if process.wait() >= 0:
        print(f"error: ended with {process.returncode} before it could be killed at step {step}", file=sys.stderr)
        return 1
    print(f"killed after step {newest_step(folder)}", file=sys.stderr)
    return 0


def newest_step(folder: Path) -> int:
    """The step of a run's newest checkpoint, -1 without one."""
    return max((int(path.name.removeprefix("step-")) for path in folder.glob("checkpoints/step-*")), default=-1)


@contextmanager
def output_to(path: Path) -> Iterator[None]:
    """What this process and its children print goes to the end of a file."""
    before = [os.dup(1), os.dup(2)]
    with path.open("ab") as log:
        sys.stdout.flush()
        for number in (1, 2):
            os.dup2(log.fileno(), number)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, kept in zip((1, 2), before, strict=True):
                os.dup2(kept, number)
                os.close(kept)


if __name__ == "__main__":
    sys.exit(main())
