"""The table of speeds, as a real process with figures that are tiny: what it prints and writes, never how fast."""

import importlib
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from processes import tiny

BENCH = Path(__file__).parents[2] / "tools" / "bench"
TINY = ("--models=test_resnet", "--size=32", "--batch=8", "--steps=2", "--rounds=1", "--images=40", "--epochs=2")
SPREAD = {"median", "low", "high"}


def bench(*words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, BENCH / "run.py", *TINY, *words]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=800)


def table(*rows: str, json_: Path) -> tuple[str, dict]:
    """The table as printed, and as JSON."""
    done = bench(*rows, "--json", json_)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(json_.read_text())


@pytest.mark.parametrize(
    ("rows", "against"),
    [
        (
            ("bare", "timm", "probe", "two-stage", "gradual", "startup"),
            [
                *("bare loop, ready tensors", "timm's loader and step"),
                *("frozen backbone run in every epoch", "one forward pass over the data"),
                *("one forward pass over the data", *["train.cache_features=false"] * 3),
                *["python -c 'import click'"] * 3,
            ],
        ),
        pytest.param(
            ("trainer",),
            ["Trainer of transformers"],
            marks=pytest.mark.skipif(find_spec("transformers") is None, reason="needs transformers"),
        ),
    ],
    ids=["ours-and-theirs", "trainer"],
)
def test_every_comparison_has_a_line_and_its_figures(rows: tuple[str, ...], against: list[str], tmp_path: Path):
    printed, found = table(*rows, json_=tmp_path / "bench.json")
    assert [row["against"] for row in found["rows"]] == against
    for row in found["rows"]:
        assert row["row"] in rows and row["unit"] in ("images/s", "s") and row["goal"][:3] in (">= ", "<= ")
        assert all(set(row[key]) == SPREAD and row[key]["low"] > 0 for key in ("ours", "theirs", "ratio"))
        assert isinstance(row["met"], bool)
        lines = [line for line in printed.splitlines() if line.startswith(row["row"])]
        assert any(row["what"] in line and row["against"] in line for line in lines)
    assert {"python", "torch", "timm", "timm-zoo", "threads", "gpu", "clock"} <= set(found["about"])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_the_most_that_each_process_held(tmp_path: Path):
    _, found = table("memory", json_=tmp_path / "bench.json")
    [row] = found["rows"]
    assert row["unit"] == "MB" and row["goal"] == "<= 1.05"
    assert row["ours"]["low"] > 100 and row["theirs"]["low"] > 100


@pytest.mark.parametrize(("tasks", "begun"), [(("features", "epoch"), False), (("epoch",), False), (("none",), True)])
def test_the_first_step_ends_the_process(tasks: tuple[str, ...], begun: bool, tmp_path: Path):
    command = [sys.executable, BENCH / "first_step.py", tiny(tmp_path), *tasks]
    subprocess.run(list(map(str, command)), cwd=tmp_path, check=True, timeout=300)
    assert len(list(tmp_path.glob("*/run/environment.json"))) == 1
    assert any(tmp_path.glob("*/run/metrics.jsonl")) == begun


def test_what_a_device_allows(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(BENCH)
    limits = importlib.import_module("limits")
    operations, moved = limits.per_image("resnet18", 224, 2)
    assert operations == pytest.approx(3 * 2 * 1.82e9, rel=0.05)  # published, less the first layer's part of backward
    assert limits.per_image("resnet18", 224, 4)[1] < moved < 1e9  # weights serve more images
    with limits.Traffic() as traffic:
        torch.zeros(10).view(2, 5).t() + 1
    assert traffic.bytes == 40 + 40 + 40
    monkeypatch.setitem(limits.SIDE, "cpu", 64)
    found = dict(limits.limits("test_resnet", 32, 8, torch.device("cpu")))
    assert list(found) == ["arithmetic, by a bf16 matrix product", "memory, by a copy"] and min(found.values()) > 0


def test_a_row_that_cannot_be_measured_says_why(tmp_path: Path):
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    rows = ["device"] if find_spec("transformers") else ["device", "trainer"]
    printed, found = table(*rows, json_=tmp_path / "bench.json")
    assert found["rows"] == [] and set(found["left_out"]) == set(rows)
    assert "no CUDA device here" in printed and "run.py device" in printed


def test_an_unknown_row_is_refused():
    done = bench("bear")
    assert done.returncode == 2 and "there is no row 'bear'" in done.stderr
