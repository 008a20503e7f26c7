"""How fast the zoo is, beside a bare PyTorch loop and what others do: every row of the table in one command.

python tools/bench/run.py                                   all rows, on a quiet machine
python tools/bench/run.py bare timm --rounds 3 --json FILE  some of them
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import frozen
import inference
import processes
import startup
import torch
import training
from row import HEADER, LeftOut, Row, line
from setting import CLOCKS, Setting

from zoo.config.environment import processor, versions

ROWS: dict[str, Callable[[Setting], Iterator[Row | LeftOut]]] = {
    "startup": startup.startup,
    "first-step": startup.first_step,
    "bare": training.bare,
    "timm": training.timm,
    "trainer": training.trainer,
    "probe": frozen.probe,
    "two-stage": frozen.two_stage,
    "gradual": frozen.gradual,
    "memory": processes.memory,
    "two": processes.two,
    "metrics": inference.metrics,
    "device": training.device,
}


def main() -> int:
    options = arguments()
    about = surroundings(options)
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    print(HEADER, flush=True)
    found: list[Row | LeftOut] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ZOO_CACHE"] = str(Path(folder) / "cache")
        names = ("folder", "rows", "json")
        setting = Setting(Path(folder), **{k: v for k, v in vars(options).items() if k not in names})
        for name in options.rows or ROWS:
            for row in ROWS[name](setting):
                print(line(row) if isinstance(row, Row) else f"{row.name:<12}left out: {row.why}", flush=True)
                found.append(row)
                if options.json:  # after each row, so that a run that is stopped keeps what it has
                    options.json.write_text(json.dumps(document(about, found), indent=2) + "\n")
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"all unless named: {', '.join(ROWS)}")
    parser.add_argument("--rounds", type=int, default=5, help="counted; where it matters, one more warms up")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there, too")
    parser.add_argument(
        "--models",
        type=lambda text: tuple(text.split(",")),
        default=(),
        help="timm names or plugin backbones, with commas, instead of a row's own; where something is frozen, the first",
    )
    parser.add_argument("--size", type=int, default=64, help="pixels")
    parser.add_argument("--batch", type=int, default=64, help="images per step")
    parser.add_argument("--steps", type=int, default=20, help="per round, where everything trains")
    parser.add_argument("--images", type=int, default=10_000, help="of the linear probe; the schedules take a fifth")
    parser.add_argument("--epochs", type=int, default=20, help="of the linear probe")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--source", type=Path, metavar="FOLDER", help="parquet files to take pictures from")
    parser.add_argument(
        "--clock",
        choices=list(CLOCKS),
        default="wall",
        help="cpu: processor time, for a machine with other work; one thread",
    )
    options = parser.parse_args()
    if unknown := [name for name in options.rows if name not in ROWS]:
        parser.error(f"there is no row '{unknown[0]}' (has: {', '.join(ROWS)})")
    return options


def surroundings(options: argparse.Namespace) -> dict[str, Any]:
    """Versions and machine, without which a figure says nothing."""
    found = {"processor": processor(), **versions()}
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "threads": torch.get_num_threads(), "gpu": gpu}
    return {**found, **machine, "clock": options.clock, "rounds": options.rounds}


def document(about: dict[str, Any], found: list[Row | LeftOut]) -> dict[str, Any]:
    rows = [row.document() for row in found if isinstance(row, Row)]
    return {"about": about, "rows": rows, "left_out": {row.name: row.why for row in found if isinstance(row, LeftOut)}}


if __name__ == "__main__":
    sys.exit(main())
