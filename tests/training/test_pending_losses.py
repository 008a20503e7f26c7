"""Losses read now and then: the same run, its faults and its stops, and no waiting in between."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import tiny, weights_hash
from torch.utils._python_dispatch import TorchDispatchMode

from zoo.errors import Interrupted, NonFiniteLoss, RunError
from zoo.reporting import Reporter
from zoo.training import pending_losses
from zoo.training.pending_losses import PendingLosses
from zoo.training.signals import StopFlag
from zoo.verbs.finetune import finetune
from zoo.verbs.resume import resume

TIMES = ("seconds", "images_per_s", "waiting")
SETTINGS = ("train.precision=fp32", "train.checkpoint_s=1000", "train.accumulation=2", "data.batch_size=8")
"""Five windows of two batches an epoch."""


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading is as dear as on a GPU, and steps are so quick that the second reading waits for the end of the epoch."""
    monkeypatch.setattr(pending_losses, "IMMEDIATE", set())
    monkeypatch.setattr(pending_losses, "READ_S", 1e9)


class Advances(Reporter):
    """Images by reading; after so many of them the process gets a signal."""

    def __init__(self, stop_after: float = float("inf")) -> None:
        self.images: list[int] = []
        self.stop_after = stop_after

    def start(self, task: str, total: int, done: int = 0) -> None:
        self.epoch_runs = task.startswith("epoch")

    def advance(self, images: int, loss: float | None = None) -> None:
        if self.epoch_runs:
            self.images.append(images)
            if sum(self.images) == self.stop_after:
                os.kill(os.getpid(), signal.SIGTERM)


def lines(run: Path) -> Iterator[dict[str, Any]]:
    for line in (run / "metrics.jsonl").read_text().splitlines():
        found = json.loads(line)
        yield {key: value for key, value in found.items() if key not in TIMES and key != "run"}


def test_how_often_losses_are_read(monkeypatch):
    now = 0.0
    monkeypatch.setattr(pending_losses.time, "perf_counter", lambda: now)
    gpu, cpu = PendingLosses(torch.device("cuda")), PendingLosses(torch.device("cpu"))
    for losses in (gpu, cpu):
        losses.add({"loss": torch.tensor(1.5), "used": torch.tensor(2.0)}, 8, 16)
        assert losses and losses.should_flush
    now = 0.1
    assert gpu.flush() == cpu.flush() == [({"loss": 1.5, "used": 2.0}, 8, 16)]
    assert (gpu.next_interval, cpu.next_interval) == (5, 1) and not gpu and not gpu.should_flush
    now = 0.1001
    gpu.add({"loss": torch.tensor(2.0)}, 8, 16)
    gpu.flush()
    assert gpu.next_interval == pending_losses.MOST
    now = 9.0
    gpu.add({"loss": torch.tensor(2.0)}, 8, 16)
    gpu.flush()
    assert gpu.next_interval == 1


def test_the_run_is_the_one_that_reads_each_step(tmp_path, monkeypatch, request):
    often, now_and_then = Advances(), Advances()
    finetune(str(tiny(tmp_path)), SETTINGS, tmp_path / "often", often)
    request.getfixturevalue("seldom")
    finetune(str(tmp_path / "tiny.yaml"), SETTINGS, tmp_path / "seldom", now_and_then)
    assert often.images == now_and_then.images == [16, 16, 16, 16, 8] * 3
    assert list(lines(tmp_path / "often")) == list(lines(tmp_path / "seldom"))
    assert weights_hash(tmp_path / "often") == weights_hash(tmp_path / "seldom")


def test_a_stop_is_obeyed_at_a_reading_and_goes_on_from_there(tmp_path, seldom):
    recipe, run = str(tiny(tmp_path)), tmp_path / "stopped"
    finetune(recipe, SETTINGS, tmp_path / "whole")
    with pytest.raises(Interrupted, match="after step 6, which is saved"):
        finetune(recipe, SETTINGS, run, Advances(stop_after=72 + 16))
    resume(run)
    assert list(lines(run)) == list(lines(tmp_path / "whole"))
    assert weights_hash(run) == weights_hash(tmp_path / "whole")


def test_the_step_that_was_not_finite_is_named_when_it_is_read(tmp_path, monkeypatch, request):
    wild = [*SETTINGS, "schedule=none", "optim.name=sgd", "optim.lr=1e30", "optim.clip_norm=null"]
    said = []
    for name in ("often", "seldom"):
        with pytest.raises(NonFiniteLoss) as caught:
            finetune(str(tiny(tmp_path)), wild, tmp_path / name)
        said.append(str(caught.value))
        if name == "often":
            request.getfixturevalue("seldom")
    assert said[0] == said[1]
    assert not list((tmp_path / "seldom" / "checkpoints").glob("step-*"))


class Reads(TorchDispatchMode):
    """Counts tensors turned into Python numbers."""

    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


class Watched(Reporter):
    """Watches what happens while an epoch trains."""

    def __init__(self) -> None:
        self.reads, self.watching = Reads(), False

    def start(self, task: str, total: int, done: int = 0) -> None:
        if task.startswith("epoch"):
            self.watching = True
            self.reads.__enter__()

    def finish(self) -> None:
        if self.watching:
            self.watching = False
            self.reads.__exit__(None, None, None)


class Impatient(Reporter):
    """Wants the run to stop as soon as features are computed."""

    def start(self, task: str, total: int, done: int = 0) -> None:
        self.features = task == "features"

    def advance(self, images: int, loss: float | None = None) -> None:
        if self.features:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_stop_is_obeyed_between_two_batches_of_features(tmp_path):
    recipe, run = str(tiny(tmp_path)), tmp_path / "run"
    with pytest.raises(Interrupted) as caught:
        finetune(recipe, SETTINGS, run, Impatient())
    assert caught.value.exit_code == 143
    assert str(caught.value) == (
        f"stopped while features of what is frozen were computed. Go on with: zoo resume {run}"
    )
    assert not list((tmp_path / "cache" / "features").iterdir())
    resume(run)
    finetune(recipe, SETTINGS, tmp_path / "whole")
    assert weights_hash(run) == weights_hash(tmp_path / "whole")


def test_one_run_at_a_time_in_a_process(tmp_path):
    with StopFlag(), pytest.raises(RunError, match="another run is at work in this process"):
        finetune(str(tiny(tmp_path)), SETTINGS, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("more", [[], ["train.ema=0.9", "data.augment={crop: resized, jitter: 0.2, erase: 0.5}"]])
def test_a_step_turns_no_tensor_into_a_number(tmp_path, seldom, more):
    """Each of them would make the host wait for a GPU."""
    watched = Watched()
    with Reads() as sure:
        float(torch.ones(()) + 1)
    finetune(str(tiny(tmp_path)), [*SETTINGS, *more], tmp_path / "run", watched)
    assert (sure.count, watched.reads.count) == (1, 0)


class Strict(Advances):
    """While an epoch trains, whatever makes the host wait for the GPU is an error, but for readings."""

    def start(self, task: str, total: int, done: int = 0) -> None:
        super().start(task, total, done)
        torch.cuda.set_sync_debug_mode("error" if self.epoch_runs else "default")

    def finish(self) -> None:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_nothing_but_readings_waits(tmp_path, monkeypatch):
    monkeypatch.delenv("ACCELERATE_USE_CPU")
    read = PendingLosses.flush

    def allowed(self: PendingLosses) -> list[tuple[dict[str, float], int, int]]:
        torch.cuda.set_sync_debug_mode("default")
        try:
            return read(self)
        finally:
            torch.cuda.set_sync_debug_mode("error")

    monkeypatch.setattr(PendingLosses, "flush", allowed)
    finetune(str(tiny(tmp_path)), SETTINGS, tmp_path / "run", Strict())
