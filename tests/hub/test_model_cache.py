"""Fetched models in the cache and in folders: whole, never damaged ones, and nothing left by killed fetches."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from disks import read_only, small_disk
from hubs import Hub, serving
from safetensors.numpy import save_file

from zoo.errors import DiskFull, HubError, RunError
from zoo.hub.download import fetch
from zoo.hub.model_cache import RECORD, damage, keep
from zoo.storage.workdir import ROOM, room
from zoo.timm_index import cache_folder

NUMBER = count()
FETCH = "import sys; from pathlib import Path; from zoo.hub.download import fetch; fetch(sys.argv[1], *map(Path, sys.argv[2:]))"


@pytest.fixture
def name(hub: Hub) -> str:
    """A new public repository with a small model."""
    name = f"ann/s{next(NUMBER)}"
    plant(hub, name)
    return name


def plant(hub: Hub, name: str, numbers: int = 5_000) -> None:
    folder = hub.folder / "models" / name
    folder.mkdir(parents=True)
    save_file({"fc.weight": np.ones((1, numbers), np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architecture": "test_resnet", "num_classes": 1}))


def flip(path: Path) -> None:
    """One bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("by", ["branch", "commit"])
@pytest.mark.parametrize("file", ["model.safetensors", "config.json", RECORD])
def test_a_flipped_bit_in_the_cache_is_fetched_again(file, by, name):
    first = fetch(name)
    whole = (first.folder / file).read_bytes()
    flip(first.folder / file)
    again = fetch(f"{name}@{first.revision}" if by == "commit" else name)
    assert again == first and (first.folder / file).read_bytes() == whole
    assert damage(first.folder) == ""
    assert not list((cache_folder() / "hub").glob(".*"))


@pytest.mark.parametrize("change", ["missing", "added", "folder", "unrecorded"])
def test_other_damage_is_noticed_too(change, name):
    folder = fetch(name).folder
    match change:
        case "missing":
            (folder / "config.json").unlink()
        case "added":
            (folder / "head.safetensors").write_bytes(b"")
        case "folder":
            (folder / "config.json").unlink()
            (folder / "config.json").mkdir()
        case "unrecorded":
            (folder / RECORD).write_text("[1]")
    assert damage(folder) == {"added": "head.safetensors", "unrecorded": RECORD}.get(change, "config.json")
    fetch(name)
    assert sorted(path.name for path in folder.iterdir()) == sorted([RECORD, "config.json", "model.safetensors"])
    assert damage(folder) == ""


def test_without_network_a_damaged_model_is_refused(name, monkeypatch):
    from huggingface_hub import constants

    first = fetch(name)
    flip(first.folder / "model.safetensors")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError) as error:
        fetch(f"{name}@{first.revision}")
    assert str(error.value) == (
        f"{first.folder}/model.safetensors is damaged and cannot be fetched again: "
        "HF_HUB_OFFLINE is set; unset it to reach the Hub"
    )


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Hub]:
    """A Hub that sends the weights of ann/slow byte by byte, once."""
    with serving(tmp_path / "served", tmp_path / "home") as hub:
        plant(hub, "ann/slow")
        hub.faults.add("GET", "/ann/slow/resolve/.*/model.safetensors", "drip", pause_s=0.01)
        yield hub


def started(slow: Hub, *words: object) -> tuple[subprocess.Popen, Path]:
    """A process that fetches, once the weights begin to arrive, and the room it works in."""
    process = slow.start(sys.executable, "-c", FETCH, "ann/slow", *words, ZOO_CACHE=str(slow.home / "cache"))
    while not (found := list(slow.home.rglob(f"{ROOM}*/made/model.safetensors"))):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    return process, found[0].parents[1]


@pytest.mark.parametrize("to", ["cache", "empty", "nested"])
def test_what_a_killed_fetch_left_is_gone_after_the_next(to, slow):
    if to == "empty":
        (slow.home / "empty").mkdir()
    where = {"cache": [], "empty": ["empty"], "nested": ["a/b/model"]}[to]
    process, left = started(slow, *where)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert left.is_dir() and not list(slow.home.rglob("config.json"))[1:], "nothing half fetched has a name"
    slow.faults.clear()
    done = slow.run(sys.executable, "-c", FETCH, "ann/slow", *where, ZOO_CACHE=str(slow.home / "cache"))
    assert done.returncode == 0, done.stderr
    assert not list(slow.home.rglob(".part*")) and not list(slow.home.rglob(".new*"))
    assert [path.name for path in slow.home.rglob("model.safetensors")] == ["model.safetensors"]


def test_two_fetches_at_once_do_each_other_no_harm(slow):
    process, working = started(slow)
    command = [sys.executable, "-c", FETCH, "ann/slow"]
    done = slow.run(*command, ZOO_CACHE=str(slow.home / "cache"))
    assert done.returncode == 0, done.stderr
    (kept,) = (slow.home / "cache" / "hub" / "ann--slow").iterdir()
    assert damage(kept) == "" and working.is_dir(), "one that is at work is not swept"
    slow.faults.release()
    assert process.communicate(timeout=60) == ("", "") and process.returncode == 0
    assert damage(kept) == "" and not list((slow.home / "cache" / "hub").glob(".*"))


def test_only_one_of_two_fetches_gets_a_folder(slow):
    process, _ = started(slow, "pets")
    done = slow.run(sys.executable, "-c", FETCH, "ann/slow", "pets")
    assert done.returncode == 0, done.stderr
    slow.faults.release()
    said = process.communicate(timeout=60)[1].splitlines()[-1]
    assert said.startswith("zoo.errors.RunError: ") and said.endswith("pets exists by now; choose another --to")
    assert sorted(path.name for path in (slow.home / "pets").iterdir()) == ["config.json", "model.safetensors"]
    assert not list(slow.home.glob(".*part*"))


def test_many_at_once_mend_the_same_model_in_the_cache(tmp_path):
    folder = tmp_path / "ann--pets" / "0"

    def put(number: int) -> None:
        with room(tmp_path) as part:
            (part / "config.json").write_text("{}")
            keep(part, folder)

    put(0)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            (folder / "config.json").write_text("damaged")
            list(pool.map(put, range(8)))
            assert damage(folder) == "" and [path.name for path in tmp_path.iterdir()] == ["ann--pets"]


def test_a_folder_that_was_there_stays_the_same_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = tmp_path.stat().st_ino
    fetch(name, Path("."))
    assert tmp_path.stat().st_ino == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_a_link_to_an_empty_folder_is_followed(name, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    fetch(name, tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and len(list((tmp_path / "real").iterdir())) == 2


def test_where_nothing_can_be_written(name, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError) as error:
        fetch(name, tmp_path / "file" / "model")
    why = f"{tmp_path}/file is not a folder; choose another --to"
    assert str(error.value) == f"{tmp_path}/file/model cannot be made: {why}"
    with pytest.raises(RunError, match=f"^{tmp_path}/file exists and is not empty; choose another --to$"):
        fetch(name, tmp_path / "file")
    with small_disk(tmp_path / "disk", 4) as disk:
        read_only(disk)
        with pytest.raises(RunError, match=f"^{disk} cannot be written: Read-only file system; choose another --to$"):
            fetch(name, disk / "here")
        monkeypatch.setenv("ZOO_CACHE", str(disk / "cache"))
        with pytest.raises(RunError, match=r"cannot be written: .* set ZOO_CACHE to another folder$"):
            fetch(name)


def test_a_full_disk_says_what_was_needed_and_where(hub, tmp_path, monkeypatch):
    name = f"ann/s{next(NUMBER)}"
    plant(hub, name, 3_000_000)
    needed = sum(path.stat().st_size for path in (hub.folder / "models" / name).iterdir())
    with small_disk(tmp_path / "disk", 4) as disk:
        with pytest.raises(DiskFull) as error:
            fetch(f"{name}@main", disk / "deep" / "here")
        needs = f"the disk is full: {name}@main needs {needed / 1e6:.1f} MB in {disk}, where 4.2 MB are free. "
        assert str(error.value) == f"{needs}Make room, or choose another --to"
        assert not list(disk.iterdir())
        monkeypatch.setenv("ZOO_CACHE", str(disk))
        with pytest.raises(DiskFull, match=f" in {disk}/hub, .* Make room, or set ZOO_CACHE to another folder$"):
            fetch(name)
        assert not [path for path in disk.rglob("*") if path.is_file()]


def test_a_disk_that_fills_up_in_the_middle(hub, tmp_path):
    """The size that the Hub told fits; then somebody else takes the room."""
    name = f"ann/s{next(NUMBER)}"
    plant(hub, name, 600_000)
    with small_disk(tmp_path / "disk", 4) as disk, ThreadPoolExecutor(1) as pool:
        hub.faults.add("GET", f"/{name}/resolve/.*/config.json", "drip", pause_s=0.01)
        pulling = pool.submit(fetch, name, disk / "here")
        while not list(disk.glob(f"{ROOM}*/made/config.json")):
            assert not pulling.done(), pulling.result()
        (disk / "other").write_bytes(bytes(3_000_000))
        with pytest.raises(DiskFull, match=f"^the disk is full: {name} needs 2.4 MB in {disk}, where 1.2 MB are free"):
            pulling.result()
        assert [path.name for path in disk.iterdir()] == ["other"]
