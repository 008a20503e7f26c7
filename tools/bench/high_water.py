"""Runs a Python program (a file, or a module's name) in this process, then prints the most memory it held, in MB.

python tools/bench/high_water.py zoo finetune --recipe quickstart

The kernel's count for children would do, were it not inherited from the parent at the start.
"""

import runpy
import sys
from contextlib import suppress
from pathlib import Path


def high_water() -> float:
    """VmHWM of this process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    del sys.argv[0], sys.path[0]
    program = sys.argv[0]
    with suppress(SystemExit):
        if program.endswith(".py"):
            runpy.run_path(program, run_name="__main__")
        else:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
    print(f"{high_water():.1f}")
