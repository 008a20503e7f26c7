"""Two real processes: equal ranks after an unfreeze, one process's metrics, no orphans, kills survived."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import PREPARED, done, epochs, pair, run, start, tiny, torchrun, wait_for_step, weights_hash

STILL = ["model.backbone=test_vit", "model.head.dropout=0", "data.limit=71", "train.accumulation=2"]
"""Neither dropout nor batch norm, so that one and two processes compute the same; 71 images leave odd shares."""

RANKS = f"""{PREPARED}
import hashlib
fit(Path(sys.argv[2]))
digest = hashlib.sha256()
for name, parameter in setup.model.named_parameters():
    digest.update(parameter.detach().numpy().tobytes())
Path(sys.argv[2], f"rank{{processes.rank}}.txt").write_text(f"{{processes.size}} {{digest.hexdigest()}}")
processes.accelerator.end_training()
"""


@pytest.mark.parametrize(
    "settings",
    [
        ["schedule=gradual"],
        ["schedule=bias-only"],
        ["schedule=lp-ft", "schedule.patience=1", "train.epochs=10", "optim.lr=0.05"],
    ],
    ids=["gradual", "bias-only", "lp-ft"],
)
def test_ranks_stay_bit_equal_after_an_unfreeze(settings: list[str], tmp_path: Path) -> None:
    (tmp_path / "ranks.py").write_text(RANKS)
    for result in pair(tmp_path / "ranks.py", tiny(tmp_path), tmp_path / "checkpoints", *settings):
        assert result.returncode == 0, result.stderr
    ranks = [(tmp_path / "checkpoints" / f"rank{rank}.txt").read_text().split() for rank in (0, 1)]
    assert ranks[0][0] == "2" and ranks[0] == ranks[1]


def test_two_processes_measure_what_one_measures(tmp_path: Path) -> None:
    common = ["finetune", "--recipe", tiny(tmp_path), *STILL]
    done(*common, "--out", tmp_path / "one")
    done(*common, "--out", tmp_path / "two", "--processes", 2)
    facts = json.loads((tmp_path / "two" / "environment.json").read_text())
    assert facts["processes"] == 2
    for one, two in zip(epochs(tmp_path / "one"), epochs(tmp_path / "two"), strict=True):
        assert two["step"] == one["step"]
        assert two["train_loss"] == pytest.approx(one["train_loss"], abs=2e-3)
        assert two["validation"]["loss"] == pytest.approx(one["validation"]["loss"], abs=2e-3)
    one, two = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two"))
    assert two["images"] == one["images"] == 71 == sum(map(sum, two["confusion_matrix"]))


def test_two_killed_processes_go_on_bit_for_bit(tmp_path: Path) -> None:
    common = ["finetune", "--recipe", tiny(tmp_path), "--processes", 2]
    done(*common, "--out", tmp_path / "unbroken")
    process = start(*common, "--out", tmp_path / "run")
    wait_for_step(tmp_path / "run", 8, process)
    process.kill()
    process.communicate(timeout=60)
    assert_no_orphans(tmp_path / "run")
    done("resume", tmp_path / "run")
    assert weights_hash(tmp_path / "run") == weights_hash(tmp_path / "unbroken")
    assert epochs(tmp_path / "run") == epochs(tmp_path / "unbroken")


def test_a_signal_reaches_every_process(tmp_path: Path) -> None:
    process = start("finetune", "--recipe", tiny(tmp_path), "--processes", 2, "--out", tmp_path / "run")
    wait_for_step(tmp_path / "run", 6, process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert next(line for line in err.splitlines() if "zoo resume" in line).startswith("error: stopped after step ")
    assert_no_orphans(tmp_path / "run")


def test_one_lost_process_ends_the_others(tmp_path: Path) -> None:
    process = start(
        "finetune", "--recipe", tiny(tmp_path), "--processes", 2, "--out", tmp_path / "run", "train.epochs=50"
    )
    wait_for_step(tmp_path / "run", 6, process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    _, said = process.communicate(timeout=90)
    assert process.returncode == 128 + signal.SIGKILL
    assert_no_orphans(tmp_path / "run")
    errors = [line for line in said.splitlines() if "error: " in line or "Warning" in line]
    killed = "error: process 2 of 2 was ended by SIGKILL, perhaps for want of memory. Go on with: zoo resume RUN"
    heard = f"error: another process of the run is gone. Go on with: zoo resume {tmp_path / 'run'}"
    assert errors in ([heard, killed], [killed]), said


def test_torchrun_and_accelerate_launch_work_too(tmp_path: Path) -> None:
    arguments = ["-m", "zoo", "finetune", "--recipe", tiny(tmp_path), "train.epochs=2", "data.limit=40"]
    result = torchrun(*arguments, "--out", tmp_path / "torchrun")
    assert result.returncode == 0, result.stderr
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", 2, "--num_machines", 1,
               "--mixed_precision", "no", "--dynamo_backend", "no", *arguments, "--out", tmp_path / "accelerate"]  # fmt: skip
    result = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
    assert weights_hash(tmp_path / "torchrun") == weights_hash(tmp_path / "accelerate")


def test_fewer_processes_than_asked_for_is_an_error(tmp_path: Path) -> None:
    result = run("finetune", "--recipe", tiny(tmp_path), "--out", tmp_path / "run", ZOO_PROCESSES="2")
    assert result.returncode == 1
    assert result.stderr == "error: 2 processes were asked for, but Accelerate runs 1. Use zoo finetune --processes 2\n"


def test_an_error_in_all_processes_is_told_once(tmp_path: Path) -> None:
    result = run(
        "finetune", "--recipe", tiny(tmp_path), "--processes", 2, "--out", tmp_path / "run", "data.source=./nowhere"
    )
    assert result.returncode == 1
    assert result.stderr.count("there is no folder './nowhere'") == 1


def assert_no_orphans(run: Path) -> None:
    """Every process that mentions the run's folder ends within a few seconds."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not _mentioning(str(run)):
            return
        time.sleep(0.1)
    raise AssertionError(f"still running: {_mentioning(str(run))}")


def _mentioning(text: str) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace")
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if text in words and state != "Z" and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found
