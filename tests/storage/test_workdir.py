"""Rooms: apart from each other while work goes on, gone when it is done or its process killed."""

import signal
import subprocess
import sys

from zoo.storage.workdir import GONE, ROOM, room, sweep


def test_rooms_at_work_are_left_alone_and_gone_when_done(tmp_path):
    (tmp_path / f"{GONE}half-swept" / "made").mkdir(parents=True)
    (tmp_path / f"{ROOM}file").write_text("no folder")
    (tmp_path / ".part-mine").mkdir()
    with room(tmp_path) as first, room(tmp_path) as second:
        sweep(tmp_path)
        assert first.is_dir() and second.is_dir() and first != second
    assert sorted(path.name for path in tmp_path.iterdir()) == [".part-mine", f"{ROOM}file"]


def test_what_stays_is_what_was_renamed(tmp_path):
    with room(tmp_path / "new" / "home") as made:
        (made / "file").write_text("x")
        made.rename(tmp_path / "kept")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "home", "kept", "new"]


def test_a_killed_process_leaves_a_room_to_sweep(tmp_path):
    code = "import sys\nfrom pathlib import Path\nfrom zoo.storage.workdir import room\nwith room(Path(sys.argv[1])):\n print('in', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "in\n"
        sweep(tmp_path)
        assert [path.name[: len(ROOM)] for path in tmp_path.iterdir()] == [ROOM]
        process.send_signal(signal.SIGKILL)
        process.wait()
    sweep(tmp_path)
    assert not list(tmp_path.iterdir())
