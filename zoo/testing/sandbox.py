"""One part checked in a process of its own, so that nothing it does can hang, end or spoil the command that asked."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zoo.plugins import Plugin
from zoo.testing.report import Outcome, one_line

ASKS = "The check of a part comes to its end."
END = "null"
"""The last line of a process that was not ended by the plugin."""


def try_out(plugin: Plugin, path: Sequence[str], slow: bool, timeout_s: float) -> list[Outcome]:
    """How each point of a registered part went; a process that dies or takes too long is an outcome too.

    path: what must stand on the process's sys.path before this one's.
    """
    with tempfile.TemporaryDirectory() as folder:
        answers, errors = Path(folder) / "answers.jsonl", Path(folder) / "errors.txt"
        answers.touch()
        question = {
            "kind": plugin.kind,
            "name": plugin.full_name,
            "slow": slow,
            "path": [*path, *sys.path],
            "answers": str(answers),
        }
        code = _run(question, errors, timeout_s)
        lines = answers.read_text(encoding="utf-8").splitlines()
        outcomes = [Outcome(**json.loads(line)) for line in lines if line != END]
        if END in lines:
            return outcomes
        after = f" after the point '{outcomes[-1].point}'" if outcomes else " at the import"
        if code is None:
            text, fix = f"no end within {timeout_s:g} s{after}", "make it faster, or give it more: --timeout SECONDS"
        else:
            said = one_line(errors.read_text(encoding="utf-8", errors="replace")[-300:])
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            text, fix = (
                f"the process ended{after} ({how}){': ' + said if said else ''}",
                "leave out os._exit and the like",
            )
        return [*outcomes, Outcome("end", "failed", ASKS, text, fix)]


def _run(question: dict[str, Any], errors: Path, timeout_s: float) -> int | None:
    """The exit code, None where time ran out. No process is left behind."""
    variables = {name: value for name, value in os.environ.items() if name != "ZOO_PLUGINS"}
    with errors.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "zoo.testing"],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=file,
            start_new_session=True,
        )
        try:
            process.communicate(json.dumps(question).encode(), timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode


def answer() -> None:
    """The other side: read a question on stdin, write each outcome as a line to its file as soon as it is there."""
    from zoo.testing.checks import outcomes
    from zoo.testing.part import Part

    question = json.loads(sys.stdin.read())
    sys.path[:] = question["path"]
    with open(question["answers"], "w", encoding="utf-8") as file:
        for outcome in outcomes(Part(question["kind"], question["name"], slow=question["slow"])):
            print(json.dumps(asdict(outcome)), file=file, flush=True)
        print(END, file=file)
    os._exit(0)  # whatever threads or exit hooks the plugin left
