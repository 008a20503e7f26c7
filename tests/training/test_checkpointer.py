"""When a checkpoint is due, who hears of one that failed, and that each registered state comes back."""

import pytest
import torch

from zoo.distributed.processes import Processes
from zoo.errors import RunError
from zoo.training import checkpointer
from zoo.training.checkpointer import Checkpointer
from zoo.training.stateful import MustMatch


@pytest.fixture
def clock(monkeypatch):
    """The time is what a test says."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    now = [0.0]
    monkeypatch.setattr(checkpointer.time, "monotonic", lambda: now[0])
    return now


class Slow:
    """A state that takes so many seconds to give."""

    def __init__(self, clock: list[float], seconds: float) -> None:
        self.clock, self.seconds = clock, seconds

    def state(self):
        self.clock[0] += self.seconds
        return {"w": torch.zeros(2)}, 1

    def load(self, tensors, value):
        self.loaded = (tensors, value)


def saving(folder, every, stateful=None) -> Checkpointer:
    made = Checkpointer(folder, every, Processes("fp32"))
    if stateful is not None:
        made.register("model", stateful)
    return made


def test_saves_are_so_far_apart_that_they_take_two_percent(clock, tmp_path):
    saver = saving(tmp_path, 60.0, Slow(clock, 3.0))
    clock[0] = 59.9
    assert not saver.is_due
    clock[0] = 60.0
    assert saver.is_due
    saver.save(1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    clock[0] = 63.0 + 149.9
    assert not saver.is_due
    clock[0] = 63.0 + 150.0
    assert saver.is_due


def test_every_step_is_every_step_however_long_it_takes(clock, tmp_path):
    saver = saving(tmp_path, 0.0, Slow(clock, 3.0))
    saver.save(1)
    assert saver.is_due


def test_a_failure_reaches_whoever_trains(clock, tmp_path):
    (tmp_path / "file").write_text("")
    saver = saving(tmp_path / "file" / "checkpoints", 0.0, Slow(clock, 0.0))
    with pytest.raises(RunError, match="cannot be written"):
        saver.save(1)


def test_without_a_folder_no_state_is_asked_for(clock):
    class Unasked(Slow):
        state = pytest.fail

    saving(None, 0.0, Unasked(clock, 0.0)).save(1)


def test_each_state_comes_back_when_it_registers(clock, tmp_path):
    saving(tmp_path, 0.0, Slow(clock, 0.0)).save(7)
    again, early, late = saving(tmp_path, 0.0), Slow(clock, 0.0), Slow(clock, 0.0)
    again.resume(tmp_path / "step-00000007")
    again.register("model", early, required=True)
    assert early.loaded[0]["w"].equal(torch.zeros(2)) and early.loaded[1] == 1
    again.register("model", late)  # a state is loaded once
    assert not hasattr(late, "loaded")
    with pytest.raises(RunError, match="the checkpoint holds no state of 'queue'"):
        again.register("queue", late, required=True)


def test_what_ended_is_not_saved(clock, tmp_path):
    saver = saving(tmp_path, 0.0, Slow(clock, 0.0))
    saver.register("optim", Slow(clock, 0.0))
    saver.unregister("optim", "ema")
    saver.save(1)
    assert sorted(p.name for p in (tmp_path / "step-00000001").iterdir()) == [
        "MANIFEST.json",
        "model.safetensors",
        "state.json",
    ]


def test_another_setting_is_refused(clock, tmp_path):
    saving(tmp_path, 0.0, MustMatch("precision", "fp32")).save(1)
    with pytest.raises(RunError, match="trained with precision fp32, not bf16; bit-equal resuming needs the same"):
        saving(tmp_path, 0.0, MustMatch("precision", "bf16")).resume(tmp_path / "step-00000001")
