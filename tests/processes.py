"""Real `zoo` processes for tests: a tiny recipe that trains in seconds, kills at a given step, hashes of results."""

import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from forks import popen
from safetensors.torch import load_file

from zoo.cli import main

TINY = """
model: {backbone: test_resnet, pretrained: false, head: {name: linear, dropout: 0.1}}
data: {source: "sample:fashion-mnist", image_size: 32, batch_size: 16, limit: 72, augment: {flip: true, crop: padded}}
schedule: {name: two-stage, head_epochs: 1}
optim: {lr: 3e-3, warmup_epochs: 0.5, clip_norm: 1.0}
train: {epochs: 3, label_smoothing: 0.1, checkpoint_s: 0}
"""
"""3 epochs of 5 steps: step 5 ends the first phase, steps 6 to 15 train everything."""


PREPARED = """
import sys
from pathlib import Path
from zoo.config.loading import read_recipe
from zoo.reporting import Reporter
from zoo.training.feature_plan import plan_splits
from zoo.training.inputs import prepare
from zoo.training.setup import build
from zoo.training.signals import StopFlag
from zoo.distributed.processes import Processes
from zoo.training.trainer import Trainer

recipe = read_recipe(Path(sys.argv[1]), sys.argv[3:])
processes = Processes("fp32")
setup = build(recipe)

def fit(folder):
    inputs = prepare(setup, plan_splits(setup, processes, Reporter()), processes, Reporter())
    Trainer(inputs, setup.phases, folder, StopFlag(), lambda line: None).fit()
"""
"""How a script begins that trains a recipe itself, to look at each process: its arguments are the recipe, a folder and overrides."""


def tiny(folder: Path) -> Path:
    """The tiny recipe as a file."""
    path = folder / "tiny.yaml"
    path.write_text(TINY)
    return path


def start(*arguments: object, **variables: str) -> subprocess.Popen:
    """`zoo ARGUMENTS` in a process of its own, which is forked from one that has imported torch."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    environment = {name: value for name, value in environment.items() if value}
    command = [sys.executable, "-m", "zoo", *arguments]
    return popen(command, environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments: object, **variables: str) -> subprocess.CompletedProcess:
    """`zoo ARGUMENTS` to its end."""
    process = start(*arguments, **variables)
    out, err = process.communicate(timeout=900)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def done(*arguments: object, **variables: str) -> subprocess.CompletedProcess:
    """`zoo ARGUMENTS`, which must succeed."""
    result = run(*arguments, **variables)
    assert result.returncode == 0, result.stderr
    return result


def here(*arguments: object) -> subprocess.CompletedProcess:
    """`zoo ARGUMENTS` to its end, but in this process, where nothing depends on it: none has to import torch."""
    words, out, err = list(map(str, arguments)), StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(words)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def torchrun(*command: object, **variables: str) -> subprocess.CompletedProcess:
    """A script or module in two processes that torch launches."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", **variables}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", port, *command]
    return subprocess.run(list(map(str, words)), env=environment, capture_output=True, text=True, timeout=240)


def pair(*command: object, **variables: str) -> list[subprocess.CompletedProcess]:
    """A script, or `-c CODE`, in two forked processes that train together."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "ZOO_PROCESSES": "2",
    }  # fmt: skip
    processes = []
    for rank in "01":
        own = {**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank, **variables}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes.append(popen([sys.executable, *command], own, **pipes))
    said = [process.communicate(timeout=240) for process in processes]
    return [
        subprocess.CompletedProcess(process.args, process.returncode, out, err)
        for process, (out, err) in zip(processes, said, strict=True)
    ]


def wait_for_step(run: Path, step: int, process: subprocess.Popen) -> None:
    """Until a checkpoint of `step` or later is published."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        if any(int(p.name[5:]) >= step for p in (run / "checkpoints").glob("step-*")):
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)
    process.kill()
    raise AssertionError(f"step {step} never came: {process.communicate()}")


def stop_at(run: Path, step: int, number: signal.Signals, *arguments: object, **variables: str) -> tuple[int, str]:
    """Start a run, signal it at a step; (exit code, stderr)."""
    process = start(*arguments, **variables)
    wait_for_step(run, step, process)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    return process.returncode, err


def step_to_kill_at(low: int, high: int) -> int:
    """A step from `low` to `high`, drawn anew in each session of tests from a seed that is printed."""
    name = os.environ["PYTEST_CURRENT_TEST"].partition(" ")[0]
    step = random.Random(f"{os.environ['ZOO_TEST_SEED']} {name}").randint(low, high)
    print(f"killed after step {step} (ZOO_TEST_SEED={os.environ['ZOO_TEST_SEED']})")
    return step


def weights_hash(run: Path) -> str:
    """sha256 of all weights of a run's model."""
    digest = hashlib.sha256()
    for name, tensor in sorted(load_file(run / "model" / "model.safetensors").items()):
        digest.update(name.encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def epochs(run: Path) -> list[dict]:
    """The epoch lines of `metrics.jsonl`, without what depends on the clock."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [
        {k: v for k, v in line.items() if k not in ("seconds", "images_per_s", "waiting")}
        for line in lines
        if line["event"] == "epoch"
    ]
