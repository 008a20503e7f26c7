"""When a checkpoint is due, and who hears of one that failed."""

import pytest
import torch

from zoo.distributed.processes import Processes
from zoo.errors import RunError
from zoo.training import checkpoint_writer
from zoo.training.checkpoint_writer import CheckpointWriter


@pytest.fixture
def clock(monkeypatch):
    """The time is what a test says."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    now = [0.0]
    monkeypatch.setattr(checkpoint_writer.time, "monotonic", lambda: now[0])
    return now


def slow(clock, seconds):
    def snapshot():
        clock[0] += seconds
        return {"model": {"w": torch.zeros(2)}}, {"step": 1}

    return snapshot


def test_saves_are_so_far_apart_that_they_take_two_percent(clock, tmp_path):
    saver = CheckpointWriter(tmp_path, 60.0, Processes("fp32"))
    clock[0] = 59.9
    assert not saver.is_due
    clock[0] = 60.0
    assert saver.is_due
    saver.save(1, slow(clock, 3.0))
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    clock[0] = 63.0 + 149.9
    assert not saver.is_due
    clock[0] = 63.0 + 150.0
    assert saver.is_due


def test_every_step_is_every_step_however_long_it_takes(clock, tmp_path):
    saver = CheckpointWriter(tmp_path, 0.0, Processes("fp32"))
    saver.save(1, slow(clock, 3.0))
    assert saver.is_due


def test_a_failure_reaches_whoever_trains(clock, tmp_path):
    (tmp_path / "file").write_text("")
    saver = CheckpointWriter(tmp_path / "file" / "checkpoints", 0.0, Processes("fp32"))
    with pytest.raises(RunError, match="cannot be written"):
        saver.save(1, slow(clock, 0.0))


def test_without_a_folder_nothing_is_made(clock):
    CheckpointWriter(None, 0.0, Processes("fp32")).save(1, pytest.fail)
