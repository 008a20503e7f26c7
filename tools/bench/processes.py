"""Rows about whole processes: their memory, and two of them that train together."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from ours import BASE, overrides
from pictures import pictures
from row import LeftOut, Row
from setting import Setting

HERE = Path(__file__).parent
EPOCHS = 3
"""Of each run; the first warms up."""
NO_GPU = {"CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "1"}


def memory(setting: Setting) -> Iterator[Row | LeftOut]:
    """The most memory that a process ever held, everything trains."""
    if not Path("/proc/self/status").exists():
        yield LeftOut("memory", "the high-water mark is read from /proc/self/status, which Linux alone has")
        return
    for backbone in setting.backbones():
        ours, theirs = [], []
        shape = {"backbone": backbone, "size": setting.size, "batch": setting.batch, "steps": setting.steps}
        options = [word for name, value in shape.items() for word in (f"--{name}", str(value))]
        for _ in range(setting.rounds):
            ours.append(_high_water("zoo", *_finetune(setting, backbone, 1)))
            theirs.append(_high_water(HERE / "bare_loop.py", *options, "--rounds", "1"))
        yield Row("memory", f"{backbone}, {setting.trains}", "bare loop, a process each", "MB", ours, theirs, "<= 1.05")


def two(setting: Setting) -> Iterator[Row | LeftOut]:
    """Two processes of one thread and half the batch each, beside one process of two threads."""
    if (os.cpu_count() or 1) < 2:
        yield LeftOut("two", "two processes need two cores, and here is one")
        return
    for backbone in setting.backbones():
        ours, theirs = [], []
        for _ in range(setting.rounds):
            ours.append(_speed(setting, backbone, 2, threads=1))
            theirs.append(_speed(setting, backbone, 1, threads=2))
        what = f"{backbone}, {setting.trains}, 2 processes"
        yield Row("two", what, "1 process with 2 threads", "images/s", ours, theirs, ">= 0.9")


def _speed(setting: Setting, backbone: str, processes: int, threads: int) -> float:
    """Images per second by the run's own account, warm epochs only."""
    with tempfile.TemporaryDirectory(dir=setting.folder) as folder:
        run = Path(folder) / "run"
        words = [*_finetune(setting, backbone, EPOCHS), "--out", run, "--processes", processes]
        _run([sys.executable, "-m", "zoo", *words], {**NO_GPU, "OMP_NUM_THREADS": str(threads)})
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        return median([line["images_per_s"] for line in lines if line["event"] == "epoch"][1:])


def _high_water(program: str | Path, *words: object) -> float:
    """The most memory that a Python program held, in MB."""
    with tempfile.TemporaryDirectory() as folder:
        return float(_run([sys.executable, HERE / "high_water.py", program, *words], NO_GPU, folder).split()[-1])


def _finetune(setting: Setting, backbone: str, epochs: int) -> list[str]:
    """`zoo finetune` of the bench's recipe as a command."""
    path = setting.folder / "bench.yaml"
    path.write_text(BASE)
    source = pictures(setting, setting.steps * setting.batch)
    more = overrides(setting, source, backbone, f"train.epochs={epochs}")
    return ["finetune", *more, "--recipe", str(path)]


def _run(command: list[object], variables: dict[str, str], folder: str | None = None) -> str:
    """What the command prints on stdout. Raises RuntimeError with what it said on stderr."""
    words, around = list(map(str, command)), {**os.environ, **variables}
    done = subprocess.run(words, env=around, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
