"""What a run draws on stderr: plain lines in a pipe, a bar on a terminal."""

import json
from pathlib import Path

import pytest
from processes import done, tiny

from zoo.cli.console import Screen, duration, span

PLAN = {
    "backbone": "lite0", "head": "linear", "parameters": 3_383_818, "source": "photos", "classes": 10,
    "images": {"train": 2000, "validation": 500, "test": 1500}, "image_size": 64, "batch_size": 64,
    "processes": 1, "device": "cpu", "precision": "fp32", "seconds": 215.0,
    "memory_bytes": {"weights_and_optimiser": 54e6, "images": 1.2e9}, "groups": dict.fromkeys("abc", 2),
    "phases": [
        {"epochs": 5, "trains": ["c"], "kind": "all", "parameters": 12_810, "steps": 160, "seconds": 9, "cached_features": True},
        {"epochs": 1, "trains": ["b", "c"], "kind": "all", "parameters": 99_999, "steps": 32, "seconds": 5, "cached_features": False},
        {"epochs": 6, "trains": ["a", "b", "c"], "kind": "all", "parameters": 3_383_818, "steps": 192, "seconds": 201.0, "cached_features": False},
    ],
}  # fmt: skip
EPOCH = {
    "epoch": 7, "phase": 3, "train_loss": 0.51234, "images_per_s": 1234.5, "best": True, "waiting": 0.0, "streamed": True,
    "validation": {"accuracy": 0.91, "macro_f1": None, "loss": 0.4},
}  # fmt: skip


def test_lines_in_a_pipe(capsys):
    screen = Screen()
    screen.plan(PLAN)
    screen.start("epoch 1/12", 2000)
    screen.advance(64, 0.5)
    screen.finish()
    screen.epoch(EPOCH)
    screen.epoch(EPOCH | {"epoch": 8, "best": False})
    screen.note("features [b]are[/b] here")
    screen.warn("look [out]")
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.rstrip() for line in err.splitlines()] == [
        "lite0 + linear (3.4 M parameters) on photos (10 classes)",
        "2,000 training, 500 validation, 1,500 test images, 64 px, batches of 64; cpu, fp32; "
        "about 54 MB for weights and optimiser, 1.2 GB for images",
        "phase  epochs  trains      parameters  steps       about",
        "    1       5  c               12,810    160         9 s  cached features",
        "    2       1  b to c          99,999     32         5 s",
        "    3       6  everything   3,383,818    192  3 min 21 s",
        "about 3 min 35 s in all",
        "epoch   7  phase 3  training loss 0.5123  validation accuracy 0.9100  loss 0.4000  1,234 images/s  best",
        "epoch   8  phase 3  training loss 0.5123  validation accuracy 0.9100  loss 0.4000  1,234 images/s",
        "features [b]are[/b] here",
        "warning: look [out]",
    ]


def test_waiting_for_data_is_told_from_a_twentieth_on_and_advised_on_once(capsys):
    screen = Screen()
    for share, streamed in ((0.049, True), (0.05, True), (0.9, False), (0.3, True), (0.456, True), (0.8, True)):
        screen.epoch(EPOCH | {"waiting": share, "streamed": streamed})
    told = [line.partition("images/s  ")[2] or line for line in capsys.readouterr().err.splitlines()]
    advice = (
        "the model waits for images: data.in_memory=true decodes them once, a smaller data.image_size decodes less, "
        "data.workers=null takes every core. More: zoo doctor --data RECIPE"
    )
    waited = [f"{share} % waiting for data  best" for share in (5, 30, 46, 80)]
    assert told == ["best", waited[0], "best", waited[1], waited[2], advice, waited[3]]


def test_several_processes_are_named(capsys):
    Screen().plan(PLAN | {"processes": 4, "device": "cuda", "precision": "bf16"})
    assert "batches of 64; 4 processes, cuda, bf16; about" in capsys.readouterr().err


def test_a_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    screen = Screen()
    screen.start("epoch 2/12", 2000, done=640)
    screen.advance(64, 0.5)
    screen.advance(64, 0.25)
    screen.start("testing", 1500)
    screen.finish()
    screen.finish()
    shown = capsys.readouterr().err
    assert "epoch 2/12" in shown and "768/2000" in shown and "loss 0.250" in shown
    assert "testing" in shown and "0/1500" in shown
    assert screen.progress is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (3599.6, "1 h 00 min"),
        (7500, "2 h 05 min"), (360_000, "100 h 00 min"),
    ],
)  # fmt: skip
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        (["a", "b", "c", "d"], "everything"),
        (["c", "d"], "c to d"),
        (["d"], "d"),
        (["a", "d"], "a, d"),
        (["d", "a", "b"], "a, b, d"),
    ],
    ids=["all", "top", "one", "gap", "gap in any order"],
)
def test_groups_are_told_with_their_gaps(chosen, text):
    assert span(chosen, ["a", "b", "c", "d"]) == text


def test_a_run_logs_how_long_it_waited_for_images(tmp_path: Path):
    run = tmp_path / "run"
    settings = ("data.in_memory=false", "data.workers=1", "train.epochs=2", "schedule=none")
    done("finetune", "--recipe", tiny(tmp_path), "--out", run, *settings)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    told = [(0 <= line["waiting"] <= 1, line["streamed"]) for line in lines if line["event"] == "epoch"]
    assert told == [(True, True)] * 2
