"""Servers that send a byte now and then for ever hold nobody for ever."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
from hubs import Hub
from safetensors.numpy import save_file

from zoo.errors import HubError
from zoo.hub.download import fetch
from zoo.hub.slow_response import SLOWEST, SlowResponse, steady

BUILD = """
from zoo.models.backbone import build_backbone
from zoo.config.recipe import Model
build_backbone(Model(backbone="test_resnet"), None)
"""


def coming(pieces: int, size: int, pause_s: float) -> Iterator[bytes]:
    """So many pieces of `size` bytes, each after a pause."""
    for _ in range(pieces):
        time.sleep(pause_s)
        yield bytes(size)


def test_what_comes_fast_enough_comes_whole():
    assert sum(map(len, steady(coming(20, SLOWEST, 0.01), 0.05))) == 20 * SLOWEST
    assert list(steady([], 0.05)) == []
    assert list(steady(coming(3, 1, 0), 60)) == [b"\0"] * 3, "an answer may be short"


def test_what_trickles_is_left():
    taken = 0
    with pytest.raises(SlowResponse, match=r"^\d bytes in 0\.\d s$"):
        for _ in steady(coming(100, 1, 0.05), 0.2):
            taken += 1
    assert taken < 10


def test_fast_then_trickling_is_left():
    def both() -> Iterator[bytes]:
        yield bytes(1_000_000)
        yield from coming(100, 1, 0.05)

    with pytest.raises(SlowResponse):
        sum(map(len, steady(both(), 0.2)))


def test_a_slow_reader_is_not_the_servers_fault():
    assert sum(len(piece) for piece in steady(coming(5, 1, 0), 0.05) if not time.sleep(0.02)) == 5


@pytest.mark.parametrize("path", ["/api/models/ann/slow", "/ann/slow/resolve/.*/config.json"])
def test_a_dripping_server_is_left_by_a_pull(path, hub: Hub, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_HUB_TIMEOUT_S", "0.5")
    folder = hub.folder / "models" / "ann" / "slow"
    if not folder.exists():
        folder.mkdir(parents=True)
        save_file({"w": np.ones(5, np.float32)}, folder / "model.safetensors")
        (folder / "config.json").write_text("{}" + " " * 1000)
    hub.faults.add("GET", path, "drip", pause_s=0.05)
    with pytest.raises(HubError) as error:
        fetch("ann/slow", tmp_path / "here")
    said = str(error.value)
    assert said.startswith("fetching ") and f"ann/slow failed: {hub.url} sends too slowly (" in said
    assert said.endswith("Try again: zoo pull ann/slow") and "\n" not in said
    assert not list(tmp_path.iterdir())


def test_a_dripping_server_is_left_by_timm(hub: Hub):
    """Its downloads go through the same client; in a process of its own, as it reads the endpoint once."""
    folder = hub.folder / "models" / "timm" / "test_resnet.r160_in1k"
    folder.mkdir(parents=True)
    save_file({"w": np.ones(5_000, np.float32)}, folder / "model.safetensors")
    hub.faults.add("GET", "/resolve/.*/model.safetensors", "drip", times=9, pause_s=0.05)
    name, _, said = hub.python(BUILD, ZOO_HUB_TIMEOUT_S="0.5")
    assert name == "ModelError" and said.startswith(f"'test_resnet' cannot be fetched: {hub.url} sends too slowly (")
