"""The feature cache as files: what is found again, what is not, and what goes when there is no room."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from zoo.errors import UsageError
from zoo.storage import feature_cache, workdir


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


def add(key: str, count: int = 1000, used: int = 0) -> Path:
    features = np.arange(count, dtype=np.float32)
    with feature_cache.adding(key, features.nbytes, {"backbone": "resnet18", "images": count}) as path:
        np.save(path, features)
    kept = feature_cache.shelf() / key
    os.utime(kept / "entry.json", (used, used))
    return kept


def test_what_was_added_is_found_again_and_marked_as_used(folder):
    kept = add("a", used=5)
    assert feature_cache.find("a") == kept / "features.npy"
    assert np.array_equal(np.load(kept / "features.npy"), np.arange(1000, dtype=np.float32))
    (entry,) = feature_cache.entries()
    assert (entry.key, entry.bytes, entry.facts["backbone"]) == ("a", 4128, "resnet18")
    assert entry.used > 5
    assert sorted(os.listdir(folder)) == ["a"] and sorted(os.listdir(kept)) == ["entry.json", "features.npy"]
    assert feature_cache.find("b") is None


@pytest.mark.parametrize("name", ["features.npy", "entry.json"])
@pytest.mark.parametrize("harm", ["flip", "truncate", "remove"])
def test_a_damaged_entry_is_removed_and_never_found(name, harm):
    kept = add("a")
    path = kept / name
    data = bytearray(path.read_bytes())
    if harm == "flip":
        data[data.index(b'"hash": "') + 9 if name == "entry.json" else 2000] ^= 1
        path.write_bytes(data)
    elif harm == "truncate":
        path.write_bytes(data[:-1])
    else:
        path.unlink()
    assert feature_cache.find("a") is None
    assert not kept.exists()
    add("a")
    assert feature_cache.find("a") is not None


def test_nothing_appears_when_making_it_fails(folder):
    with pytest.raises(KeyError), feature_cache.adding("a", 10, {}) as path:
        path.write_bytes(b"half")
        raise KeyError
    assert os.listdir(folder) == []


def test_of_two_that_make_the_same_the_first_stays():
    with feature_cache.adding("a", 4, {"by": "first"}) as first:
        np.save(first, np.ones(3))
        with feature_cache.adding("a", 4, {"by": "second"}) as second:
            np.save(second, np.ones(3))
    assert json.loads((feature_cache.shelf() / "a" / "entry.json").read_text())["by"] == "second"
    assert feature_cache.find("a") is not None and len(feature_cache.entries()) == 1


def test_the_least_recently_used_make_room(monkeypatch):
    monkeypatch.setenv("ZOO_CACHE_GB", "0.00001")  # 10 kB, entries have 4,128 bytes
    add("old", used=1)
    add("new", used=2)
    assert feature_cache.fits(4128) and feature_cache.fits(10_000) and not feature_cache.fits(10_001)
    feature_cache.find("old")
    add("newest", used=3)
    assert sorted(e.key for e in feature_cache.entries()) == ["newest", "old"]


@pytest.mark.parametrize("text", ["much", "-1", "nan", "inf"])
def test_a_wrong_budget(text, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE_GB", text)
    with pytest.raises(UsageError) as caught:
        feature_cache.budget()
    assert str(caught.value) == f"ZOO_CACHE_GB: expected a number of gigabytes, 0 or more, found '{text}'"


def test_what_a_kill_left_is_swept_and_what_is_being_made_is_not(folder):
    code = "import sys; from zoo.storage import feature_cache\nwith feature_cache.adding('a', 4, {}) as p:\n p.write_bytes(b'1'); print('in', flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"in\n"
    add("b")
    assert sum(name.startswith(workdir.ROOM) for name in os.listdir(folder)) == 1
    process.send_signal(signal.SIGKILL)
    process.wait()
    add("c")
    assert sorted(os.listdir(folder)) == ["b", "c"]
    process.stdin.close(), process.stdout.close()


@pytest.mark.parametrize("text", ["{}", "[]", "null", '"x"', "7", "", '{"bytes": null}'])
def test_an_entry_that_says_nonsense_hides_no_other(text, folder):
    add("a"), add("b")
    (folder / "a" / "entry.json").write_text(text)
    assert [entry.key for entry in feature_cache.entries()] == ["b"] and feature_cache.find("b")
    assert feature_cache.clear() == 4128 and os.listdir(folder) == []


def test_a_cache_that_is_removed_meanwhile_is_no_fault(folder):
    with feature_cache.adding("a", 4, {}) as path:
        path.write_bytes(b"1234")
        shutil.rmtree(folder)
    assert feature_cache.entries() == []


def test_clearing(folder):
    add("a"), add("b")
    assert feature_cache.clear() == 2 * 4128
    assert feature_cache.entries() == [] and os.listdir(folder) == []
    assert feature_cache.clear() == 0
