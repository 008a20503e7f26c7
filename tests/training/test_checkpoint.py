import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from disks import read_only, small_disk
from forks import popen

from zoo.errors import DiskFull, RunError
from zoo.training import checkpoint

TENSORS = {
    "model": {"a.weight": torch.arange(6.0).view(2, 3), "steps": torch.tensor(7)},
    "optim": {"0.exp_avg": torch.randn(4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)},
}
STATE = {"progress": {"step": 3, "best": None, "loss": 0.1}, "optim": {"betas": [0.9, 0.999]}}


def save(folder: Path, *steps: int) -> Path:
    """Checkpoints of these steps; the path of the last."""
    return [checkpoint.save(folder, step, TENSORS, {**STATE, "step": step}) for step in steps][-1]


def steps(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_what_is_saved_is_loaded(tmp_path):
    path = save(tmp_path / "checkpoints", 3)
    assert path == tmp_path / "checkpoints" / "step-00000003"
    assert {p.name for p in path.iterdir()} == {"MANIFEST.json", "model.safetensors", "optim.safetensors", "state.json"}
    tensors, state = checkpoint.load(path)
    assert state == {**STATE, "step": 3}
    assert {name: set(group) for name, group in tensors.items()} == {
        name: set(group) for name, group in TENSORS.items()
    }
    for name, group in TENSORS.items():
        for key, value in group.items():
            assert torch.equal(tensors[name][key], value) and tensors[name][key].dtype == value.dtype


def test_transposed_and_channels_last_tensors_can_be_saved(tmp_path):
    wide = torch.randn(2, 3, 4, 4)
    group = {"wide": wide.contiguous(memory_format=torch.channels_last), "turned": wide[0, 0].T}
    tensors, _ = checkpoint.load(checkpoint.save(tmp_path, 1, {"model": group}, {}))
    assert torch.equal(tensors["model"]["wide"], wide)
    assert torch.equal(tensors["model"]["turned"], wide[0, 0].T)


def test_weights_that_a_model_shares_are_saved_under_each_name(tmp_path):
    shared = torch.arange(6.0).view(2, 3)
    group = {"a": shared, "b": shared, "turned": shared.T, "part": shared[1:]}
    tensors, _ = checkpoint.load(checkpoint.save(tmp_path, 1, {"model": group}, {}))
    assert all(torch.equal(tensors["model"][name], tensor) for name, tensor in group.items())


def test_the_newest_two_are_kept(tmp_path):
    save(tmp_path, 1, 2, 10, 9)
    assert steps(tmp_path) == ["step-00000009", "step-00000010"]
    assert checkpoint.newest(tmp_path, pytest.fail) == tmp_path / "step-00000010"


def test_a_step_can_be_saved_again(tmp_path):
    save(tmp_path, 1, 2)
    (tmp_path / ".part-old-step-00000002").mkdir()
    (tmp_path / ".part-old-step-00000002" / "rest").write_text("of a killed run")
    path = checkpoint.save(tmp_path, 2, TENSORS, {"again": True})
    assert checkpoint.load(path)[1] == {"again": True}
    assert steps(tmp_path) == ["step-00000001", "step-00000002"]


def test_leftovers_of_killed_runs_go(tmp_path):
    for name in (".part-4711", ".part-old-step-00000009"):
        (tmp_path / name / "deep").mkdir(parents=True)
    save(tmp_path, 1)
    assert steps(tmp_path) == ["step-00000001"]


def flip(name: str) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        content = bytearray((path / name).read_bytes())
        content[len(content) // 2] ^= 1
        (path / name).write_bytes(content)

    return apply


def cut(path: Path) -> None:
    with (path / "model.safetensors").open("r+b") as file:
        file.truncate(100)


def manifest(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        content = json.loads((path / "MANIFEST.json").read_text())
        change(content)
        (path / "MANIFEST.json").write_text(json.dumps(content))

    return apply


def as_folder(path: Path) -> None:
    (path / "state.json").unlink()
    (path / "state.json").mkdir()


UNREADABLE = "MANIFEST.json is missing or unreadable"


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (flip("model.safetensors"), "model.safetensors has other content than was written"),
        (flip("optim.safetensors"), "optim.safetensors has other content than was written"),
        (flip("state.json"), "state.json has other content than was written"),
        (cut, "model.safetensors has 100 bytes instead of {size}"),
        (lambda p: (p / "optim.safetensors").unlink(), "optim.safetensors is missing"),
        (lambda p: (p / "state.json").unlink(), "state.json is missing"),
        (as_folder, "state.json is missing"),
        (lambda p: (p / "MANIFEST.json").unlink(), UNREADABLE),
        (lambda p: (p / "MANIFEST.json").write_text(""), UNREADABLE),
        (lambda p: (p / "MANIFEST.json").write_bytes(b"\xff\x00"), UNREADABLE),
        (lambda p: (p / "MANIFEST.json").write_text("[]"), UNREADABLE),
        (manifest(lambda m: m.update(files=["state.json"])), UNREADABLE),
        (manifest(lambda m: m["files"]["state.json"].pop("bytes")), UNREADABLE),
        (manifest(lambda m: m["files"].update({"state.json": 3})), UNREADABLE),
        (manifest(lambda m: m.pop("format")), UNREADABLE),
        (manifest(lambda m: m.update(format=2)), "format 2 is not 1"),
        (manifest(lambda m: m.update(files={})), "state.json is missing"),
        (manifest(lambda m: m["files"].pop("state.json")), "state.json is missing"),
    ],
)
def test_damage_is_found_and_the_one_before_taken(tmp_path, spoil, fault):
    path = save(tmp_path, 1, 2)
    fault = fault.format(size=(path / "model.safetensors").stat().st_size)
    assert checkpoint.damage(path) is None
    spoil(path)
    assert checkpoint.damage(path) == fault
    said: list[str] = []
    assert checkpoint.newest(tmp_path, said.append) == tmp_path / "step-00000001"
    assert said == [f"checkpoint step-00000002 is damaged ({fault}); going back to the one before"]
    assert steps(tmp_path) == ["damaged-step-00000002", "step-00000001"]
    assert checkpoint.newest(tmp_path, pytest.fail) == tmp_path / "step-00000001"


def test_folders_that_are_no_checkpoints(tmp_path):
    assert checkpoint.newest(tmp_path / "none", pytest.fail) is None
    save(tmp_path, 1)
    (tmp_path / "step-99999999").mkdir()
    (tmp_path / "step-99999998").write_text("a file")
    (tmp_path / ".part-1").mkdir()
    said: list[str] = []
    assert checkpoint.newest(tmp_path, said.append) == tmp_path / "step-00000001"
    assert said == [
        "checkpoint step-99999999 is damaged (MANIFEST.json is missing or unreadable); going back to the one before"
    ]


def test_when_all_are_damaged_there_is_none(tmp_path):
    for path in (save(tmp_path, 1), save(tmp_path, 2)):
        cut(path)
    assert checkpoint.newest(tmp_path, lambda text: None) is None
    assert steps(tmp_path) == ["damaged-step-00000001", "damaged-step-00000002"]


SAVER = """
import os, sys
from pathlib import Path
import torch
from zoo.training import checkpoint

for line in sys.stdin:
    if (child := os.fork()) == 0:
        step = int(line)
        while True:
            step += 1
            group = {str(i): torch.full((300, 1000), float(step)) for i in range(2)}
            checkpoint.save(Path(sys.argv[1]), step, {"model": group, "optim": group}, {"step": step})
    print(child, flush=True)
    os.waitpid(child, 0)
"""


def test_a_save_that_is_killed_publishes_nothing_broken(tmp_path):
    """kill -9 at ten random moments: what is published is whole, and the next process goes on from it."""
    folder, chance = tmp_path / "checkpoints", random.Random(0)
    save(folder, 0)
    command = [sys.executable, "-c", SAVER, folder]
    unfinished = 0
    with popen(command, os.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as saver:
        step = 0
        for _ in range(10):
            print(step, file=saver.stdin, flush=True)
            child, aim = int(saver.stdout.readline()), step
            while not list(folder.glob(f"step-{aim + 1:08d}")):  # it has saved at least once
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.05))
            os.kill(child, signal.SIGKILL)
            while Path(f"/proc/{child}").exists():
                time.sleep(0.001)
            unfinished += any(folder.glob(".part-*"))
            published = sorted(folder.glob("step-*"))
            assert [checkpoint.damage(path) for path in published] == [None] * len(published)
            path = checkpoint.newest(folder, pytest.fail)
            tensors, state = checkpoint.load(path)
            step = state["step"]
            assert path.name == f"step-{step:08d}" and step > aim
            assert all(bool((t == step).all()) for group in tensors.values() for t in group.values())
        saver.stdin.close()
    assert unfinished > 0, "no kill came in the middle of a save"
    save(folder, step + 1)
    assert not list(folder.glob(".part-*"))


MEGABYTE = {"model": {f"weight{i}": torch.zeros(250) for i in range(1000)}}
"""One million bytes, and a header of 80,000 more."""


@pytest.mark.parametrize("spare", [-200_000, 300, 110_000])
def test_a_full_disk_keeps_the_checkpoint_before(tmp_path, spare):
    """No room for the tensors, which is known beforehand; or for their header, or for the state, which is not."""
    with small_disk(tmp_path / "disk", 4) as disk:
        path = checkpoint.save(disk / "checkpoints", 1, MEGABYTE, {})
        stats = os.statvfs(disk)
        room = stats.f_bavail * stats.f_frsize - 1_000_000 - spare
        (disk / "other").write_bytes(b"x" * (room // stats.f_frsize * stats.f_frsize))
        with pytest.raises(DiskFull) as caught:
            checkpoint.save(disk / "checkpoints", 2, MEGABYTE, {"text": "x" * 200_000})
        assert str(caught.value) == (
            f"the disk is full: {disk}/checkpoints needs 1 MB, 1 MB are free. Earlier checkpoints are kept; make room"
        )
        assert steps(disk / "checkpoints") == ["step-00000001"]
        assert checkpoint.newest(disk / "checkpoints", pytest.fail) == path
        (disk / "other").unlink()
        checkpoint.save(disk / "checkpoints", 2, MEGABYTE, {})
        assert steps(disk / "checkpoints") == ["step-00000001", "step-00000002"]


def test_a_disk_that_may_not_be_written(tmp_path):
    with small_disk(tmp_path / "disk", 4) as disk:
        path = save(disk / "checkpoints", 1)
        read_only(disk)
        with pytest.raises(RunError) as caught:
            save(disk / "checkpoints", 2)
        assert str(caught.value) == f"{disk}/checkpoints cannot be written: Read-only file system"
        assert checkpoint.newest(disk / "checkpoints", pytest.fail) == path


@pytest.mark.parametrize(("where", "reason"), [("file", "File exists"), ("file/checkpoints", "Not a directory")])
def test_a_folder_that_cannot_be(tmp_path, where, reason):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError) as caught:
        save(tmp_path / where, 1)
    assert str(caught.value) == f"{tmp_path}/{where} cannot be written: {reason}"
