"""Run tests against a copy of the package, with a fault in it or without."""

import os
import shutil
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from mutants.faults import ROOT, Fault

SKIPPED = shutil.ignore_patterns("__pycache__", ".venv*", ".git", "runs")
LONGEST_S = 1800
FAILED = 1
"""pytest's exit code where tests ran and some failed."""


def copy_checkout(to: Path) -> Path:
    """Copy the checkout's files to a folder, which tests can be run in."""
    return Path(shutil.copytree(ROOT, to, ignore=SKIPPED, symlinks=True))


def run_tests(root: Path, tests: Collection[str]) -> tuple[int, str]:
    """(pytest's exit code, the end of what it printed) of test files run in a copy of the checkout."""
    paths = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(
        command, cwd=root, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, timeout=LONGEST_S
    )
    return done.returncode, (done.stdout + done.stderr)[-2000:]


def is_noticed(fault: Fault, folder: Path) -> bool:
    """Whether a test fails because of the fault. folder: for the copy, which is removed again. Raises RuntimeError."""
    root = copy_checkout(folder / "copy")
    try:
        fault.put_into(root)
        code, said = run_tests(root, fault.tests)
    finally:
        shutil.rmtree(root)
    if code not in (0, FAILED):
        raise RuntimeError(f"{fault.name}: pytest ended with {code}\n{said}")
    return code == FAILED
