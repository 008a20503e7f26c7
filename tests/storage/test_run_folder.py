import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from disks import read_only, small_disk

from zoo.errors import DiskFull, RunError
from zoo.storage.run_folder import Run, default_folder

HOLDER = """
import sys
from zoo.storage.run_folder import Run
with Run(sys.argv[1]).locked():
    print("held", flush=True)
    sys.stdin.read()
"""

PARENT = """
import os, sys
from zoo.storage.run_folder import Run
with Run(sys.argv[1]).locked():
    reading, writing = os.pipe()
    if not os.fork():
        os.read(reading, 1)
        os._exit(0)
with Run(sys.argv[1]).locked():
    os.write(writing, b"!")
    os.wait()
    print("held twice")
"""


def test_two_processes_cannot_hold_a_folder(tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        said = f"{folder} is in use by process {holder.pid} on {socket.gethostname()}; wait for it or stop it"
        for _ in range(2):
            with pytest.raises(RunError) as caught, Run(folder).locked():
                pytest.fail("both hold it")
            assert str(caught.value) == said
        other = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert other.returncode == 1 and other.stderr.splitlines()[-1] == f"zoo.errors.RunError: {said}"
        holder.kill()
        holder.wait()
        with Run(folder).locked():
            assert (folder / "run.lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}"
    with Run(folder).locked():
        pass


def test_a_child_does_not_keep_the_folder(tmp_path):
    done = subprocess.run([sys.executable, "-c", PARENT, str(tmp_path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "held twice\n", "")


def test_what_was_given_up_leaves_what_it_found(tmp_path):
    for name in ("one", "two", "three"):
        run = Run(tmp_path / name)
        run.folder.mkdir()
        for path in (run.recipe, run.environment, run.events):
            path.write_text("{}")
        (run.folder / "events" / "a").mkdir(parents=True)
    (tmp_path / "two" / "mine.txt").write_text("")
    (tmp_path / "three" / "checkpoints" / "step-00000005").mkdir(parents=True)
    for name in ("one", "two", "three"):
        Run(tmp_path / name).give_up()
    assert not (tmp_path / "one").exists()
    assert [p.name for p in (tmp_path / "two").iterdir()] == ["mine.txt"]
    assert Run(tmp_path / "three").recipe.is_file()


def test_a_lock_that_says_nothing(tmp_path):
    with Run(tmp_path).locked():
        (tmp_path / "run.lock").write_text("")
        with pytest.raises(RunError) as caught, Run(tmp_path).locked():
            pass
    assert str(caught.value) == f"{tmp_path} is in use by another process; wait for it or stop it"


def test_a_lock_on_a_disk_that_may_not_be_written(tmp_path):
    with small_disk(tmp_path / "disk", 1) as disk:
        read_only(disk)
        with pytest.raises(RunError) as caught, Run(disk / "run").locked():
            pass
        assert str(caught.value) == f"{disk}/run cannot be written: Read-only file system"
        with pytest.raises(RunError) as caught:
            Run(disk / "run").check_new()
        assert str(caught.value) == (
            f"{disk}/run cannot be made: {disk} is not a folder you may write to; choose another --out"
        )


def filled(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text("")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["recipe.yaml"], "{run} already holds a run; go on with it: zoo resume {run}, or choose another --out"),
        (["recipe.yaml", "run.lock", "metrics.json"],
            "{run} already holds a run; see its result: zoo evaluate {run}, or choose another --out"),
        (["notes.txt"], "{run} exists and is not empty; choose another --out"),
        (["environment.json", "run.lock"], "{run} exists and is not empty; choose another --out"),
    ],
)  # fmt: skip
def test_a_folder_that_is_taken(tmp_path, names, message):
    filled(tmp_path / "run", *names)
    with pytest.raises(RunError) as caught:
        Run(tmp_path / "run").check_new()
    assert str(caught.value) == message.format(run=tmp_path / "run")


def test_folders_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError) as caught:
        Run(tmp_path / "file").check_new()
    assert str(caught.value) == f"{tmp_path}/file exists and is not empty; choose another --out"
    with pytest.raises(RunError) as caught:
        Run(tmp_path / "file" / "a" / "run").check_new()
    assert str(caught.value) == (
        f"{tmp_path}/file/a/run cannot be made: {tmp_path}/file is not a folder you may write to; choose another --out"
    )


@pytest.mark.parametrize("names", [None, [], ["run.lock"]])
def test_a_folder_that_is_free(tmp_path, names, monkeypatch):
    if names is not None:
        filled(tmp_path / "run", *names)
    Run(tmp_path / "run").check_new()
    monkeypatch.chdir(tmp_path)
    Run("run").check_new()
    Run("a/b/c").check_new()


def test_what_was_not_started(tmp_path):
    with pytest.raises(RunError) as caught:
        Run(tmp_path).check_started()
    assert str(caught.value) == (
        f"{tmp_path} is not a run folder (it has no recipe.yaml). Start one: zoo finetune --recipe NAME --out {tmp_path}"
    )
    filled(tmp_path, "recipe.yaml")
    Run(tmp_path).check_started()
    assert not Run(tmp_path).finished
    filled(tmp_path, "metrics.json")
    assert Run(tmp_path).finished


EVENTS = [{"event": "epoch", "step": 5, "x": 0.1}, {"event": "epoch", "step": 10, "x": None}, {"event": "test"}]


def test_history(tmp_path):
    run = Run(tmp_path)
    assert run.history() == []
    for event in EVENTS:
        run.log(event)
    assert run.history() == EVENTS
    with run.events.open("a") as file:
        file.write('{"event": "epoch", "step": 15, "x": 0.')
    assert run.history() == EVENTS
    run.forget_after(10)
    run.log({"event": "more", "step": 11})
    assert run.history() == [*EVENTS, {"event": "more", "step": 11}]
    assert run.events.read_text() == "".join(json.dumps(e) + "\n" for e in run.history())


@pytest.mark.parametrize(("step", "kept"), [(0, [2]), (4, [2]), (5, [0, 2]), (9, [0, 2]), (10, [0, 1, 2])])
def test_events_after_a_checkpoint_are_forgotten(tmp_path, step, kept):
    run = Run(tmp_path)
    for event in EVENTS:
        run.log(event)
    run.forget_after(step)
    assert run.history() == [EVENTS[i] for i in kept]
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_an_event_on_a_full_disk(tmp_path):
    with small_disk(tmp_path / "disk", 1) as disk:
        run = Run(disk)
        run.log(EVENTS[0])
        stats = os.statvfs(disk)
        (disk / "other").write_bytes(b"x" * (stats.f_bavail * stats.f_frsize))
        with pytest.raises(DiskFull) as caught:
            run.log({"event": "long", "text": "x" * 10_000})
        assert str(caught.value) == (
            f"the disk is full: {disk} needs 0 MB, 0 MB are free. Earlier checkpoints are kept; make room"
        )
        assert run.history() == EVENTS[:1]


def test_forgetting_without_events(tmp_path):
    Run(tmp_path).forget_after(3)
    assert Run(tmp_path).history() == []


@pytest.mark.parametrize(
    ("recipe", "name"),
    [("quickstart", "quickstart"), ("zoo-pets:cats", "zoo-pets-cats"), ("deep/my.yaml", "my"), ("/a/b.yml", "b")],
)
def test_default_folder(recipe, name):
    folder = default_folder(recipe)
    assert folder.parent == Path("runs")
    assert folder.name.startswith(f"{name}-")
    moment = time.mktime(time.strptime(folder.name.removeprefix(f"{name}-"), "%Y%m%d-%H%M%S"))
    assert abs(time.time() - moment) < 60
