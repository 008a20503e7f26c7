"""How soon the command line answers: wall time of light commands beside Python with click alone.

python tools/bench/startup.py --times 15
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

PYTHON = Path(sys.executable)
ZOO = PYTHON.with_name("zoo")
COMMANDS = {
    "python -c 'import click'": [PYTHON, "-c", "import click"],
    "zoo --help": [ZOO, "--help"],
    "zoo list recipes": [ZOO, "list", "recipes"],
    "zoo show quickstart": [ZOO, "show", "quickstart"],
}


def seconds(command: list) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main(times: int) -> None:
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(times + 1):  # the first fills caches
        for name, command in COMMANDS.items():
            value = seconds(command)
            if number:
                taken[name].append(value)
    base = median(next(iter(taken.values())))
    print(f"{'':<26}{'median':>8}{'low':>8}{'high':>8}{'ratio':>8}")
    for name, values in taken.items():
        middle = median(values)
        print(f"{name:<26}{middle:>8.3f}{min(values):>8.3f}{max(values):>8.3f}{middle / base:>8.1f}  s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=15, help="runs of each command")
    main(parser.parse_args().times)
