"""A probe's rows are what fine-tuning with the same settings reaches, over features that were computed once."""

import json
from pathlib import Path

import numpy as np
import pytest
from processes import epochs, here, tiny

import zoo
from zoo.errors import NonFiniteLoss, UnknownName, UsageError
from zoo.storage import feature_cache

SMALL = ["train.epochs=2", "data.limit=40", "train.precision=fp32", "model.head.dropout=0"]


def test_a_row_is_what_finetune_reaches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    rows = zoo.probe(str(tiny(tmp_path)), SMALL[:3], heads=["linear", "mlp"], rates=[1e-3, 1e-1], decays=[0.0, 0.1])
    assert len(rows) == 8 and len({(row["head"], row["lr"], row["weight_decay"]) for row in rows}) == 8
    assert [row["accuracy"] for row in rows] == sorted((row["accuracy"] for row in rows), reverse=True)
    assert (
        sorted(entry.facts["read"] for entry in feature_cache.entries())
        == ["forward_features"] * 2 + ["pre_logits"] * 2
    )
    for row in (rows[0], rows[-1]):
        keys = {"model.head.name": "head", "optim.lr": "lr", "optim.weight_decay": "weight_decay"}
        settings = [f"{key}={row[name]}" for key, name in keys.items()]
        out = tmp_path / f"run{row is rows[0]}"
        zoo.finetune(str(tiny(tmp_path)), [*SMALL[:3], "schedule=linear-probe", *settings], out)
        best = max(epochs(out), key=lambda line: line["validation"]["accuracy"])
        assert best["validation"]["accuracy"] == row["accuracy"]
        assert best["validation"]["loss"] == pytest.approx(row["loss"], abs=1e-5) and best["epoch"] == row["best_epoch"]


def test_the_command_compares_and_says_what_to_type_next(tmp_path: Path) -> None:
    result = here("probe", tiny(tmp_path), *SMALL, "--head", "linear", "--lr", "1e-3", "--lr", "1e-2")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[0] for line in lines] == ["linear"] * 2 and {line[1] for line in lines} == {"0.001", "0.01"}
    last = result.stderr.splitlines()[-1]
    assert last.startswith(
        f"next: zoo finetune --recipe {tmp_path / 'tiny.yaml'} {' '.join(SMALL)} model.head.name=linear optim.lr="
    )
    rows = json.loads(here("probe", tiny(tmp_path), *SMALL, "--head", "linear", "--lr", "1e-2", "--json").stdout)
    assert [(row["head"], row["lr"], row["weight_decay"]) for row in rows] == [("linear", 0.01, 0.02)]


def test_a_rate_that_diverges_stands_last_and_costs_no_other(tmp_path: Path) -> None:
    rates, keys = [np.float64(1e38), 1e-3, 1e-3], {"head", "lr", "weight_decay", "seconds", "diverged"}
    good, bad = zoo.probe(str(tiny(tmp_path)), SMALL, ["linear"], rates)
    assert (good["lr"], bad["lr"], bad.keys()) == (1e-3, 1e38, keys) and "the loss became" in bad["diverged"]
    with pytest.raises(NonFiniteLoss):
        zoo.probe(str(tiny(tmp_path)), SMALL, ["linear"], np.array([1e38]))
    shown = here("probe", tiny(tmp_path), *SMALL, "--head", "linear", "--lr", "1e38", "--lr", "1e-3")
    assert shown.stdout.splitlines()[-1].split()[:4] == ["linear", "1e+38", "0.02", "diverged"]


def test_wrong_use(tmp_path: Path) -> None:
    recipe = str(tiny(tmp_path))
    with pytest.raises(UsageError, match=r"unknown head 'lineer'\. Did you mean 'linear'\?"):
        zoo.probe(recipe, heads=["linear", "lineer"])
    with pytest.raises(UsageError, match=r"optim\.lr: expected greater than 0, found -1\.0"):
        zoo.probe(recipe, rates=[-1.0])
    with pytest.raises(
        UsageError, match=r"^a probe needs a head and a learning rate\. Try: zoo probe RECIPE --head linear --lr 1e-3$"
    ):
        zoo.probe(recipe, heads=[])
    with pytest.raises(UsageError, match=r"^heads: expected a list of names, found 'linear'\. Try: \['linear'\]$"):
        zoo.probe(recipe, heads="linear")
    with pytest.raises(UsageError, match=r"^rates: expected a list of numbers, found 0\.001\. Try: \[1e-3\]$"):
        zoo.probe(recipe, rates=1e-3)
    with pytest.raises(UnknownName):
        zoo.probe("quikstart")
    result = here("probe", recipe, "--lr", "much")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
