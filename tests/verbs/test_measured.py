"""What is left `auto` is measured once, recorded in the run, and taken from there when it goes on."""

import json
import signal
from pathlib import Path

import pytest
from processes import done, here, stop_at, tiny, weights_hash

from zoo.config.loading import load_recipe, read_recipe
from zoo.reporting import Reporter
from zoo.verbs.finetune import finetune, plan
from zoo.verbs.resume import resume

LONG = ["train.epochs=100000", "train.early_stop.target=0.01", "schedule=none", "optim.lr=3e-4", "train.compile=false"]
"""Long enough by its epochs to be measured, and over after the first."""
WAYS = ("fp32 channels-last", "bf16 channels-last", "fp32 contiguous", "bf16 contiguous")


def plant(cache: Path, winner: str) -> None:
    """Let the cache say that one way is twice as fast as the others."""
    (path,) = (cache / "speed").glob("*.json")
    path.write_text(json.dumps({way: [50.0 if way == winner else 100.0] * 4 for way in WAYS}))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache in which this machine and the long run were measured."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("ZOO_CACHE", str(folder))
    shown = here("finetune", "--recipe", tiny(tmp_path), "--dry-run", "--json", *LONG)
    document = json.loads(shown.stdout)
    assert document["precision"] in ("fp32", "bf16") and isinstance(document["channels_last"], bool)
    assert list(document["measured"]) == ["step_ms"] and set(document["measured"]["step_ms"]) <= set(WAYS)
    return folder


def test_a_killed_run_goes_on_as_recorded_whatever_the_cache_says_now(cache: Path, tmp_path: Path) -> None:
    arguments = ["finetune", "--recipe", tiny(tmp_path), *LONG]
    plant(cache, "bf16 contiguous")
    whole = here(*arguments, "--out", tmp_path / "whole")
    said = (
        "precision bf16 contiguous (measured: 2.0x fp32 channels-last, 2.0x bf16 channels-last, 2.0x fp32 contiguous)"
    )
    assert said in whole.stderr.splitlines()
    stop_at(tmp_path / "run", 2, signal.SIGKILL, *arguments, "--out", tmp_path / "run")
    plant(cache, "fp32 channels-last")
    resumed = here("resume", tmp_path / "run")
    assert said in resumed.stderr.splitlines()
    assert weights_hash(tmp_path / "run") == weights_hash(tmp_path / "whole")
    for name in ("run", "whole"):
        facts = json.loads((tmp_path / name / "environment.json").read_text())
        assert (facts["precision"], facts["channels_last"]) == ("bf16", False)
        assert facts["measured"] == {"step_ms": {way: 50.0 if way == "bf16 contiguous" else 100.0 for way in WAYS}}
        train = read_recipe(tmp_path / name / "recipe.yaml").train
        assert (train.precision, train.channels_last) == ("bf16", False)


def test_a_short_run_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    document = plan(load_recipe(str(tiny(tmp_path))), Reporter())
    assert (document["precision"], document["channels_last"], document["measured"]) == ("fp32", True, {})
    assert not (tmp_path / "cache" / "speed").exists()


@pytest.mark.parametrize(("accumulation", "batch"), [(1, 64), (2, 128)])
def test_a_batch_that_fits_is_written_as_a_number(accumulation: int, batch: int, tmp_path: Path) -> None:
    settings = ["data.batch_size=auto", f"train.accumulation={accumulation}", "train.epochs=1", "schedule=none"]
    document = plan(load_recipe(str(tiny(tmp_path)), settings), Reporter())
    assert (document["batch_size"], document["accumulation"], document["measured"]) == (batch, 1, {"batch_size": batch})
    finetune(str(tiny(tmp_path)), settings, out=tmp_path / "run")
    recipe = read_recipe(tmp_path / "run" / "recipe.yaml")
    assert (recipe.data.batch_size, recipe.train.accumulation) == (batch, 1)
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["measured"] == {"batch_size": batch}
    finetune(
        str(tiny(tmp_path)),
        [*settings, f"data.batch_size={batch}", "train.accumulation=1"],
        out=tmp_path / "fixed",
    )
    assert weights_hash(tmp_path / "run") == weights_hash(tmp_path / "fixed")


def test_processes_share_what_was_measured(tmp_path: Path) -> None:
    arguments = ["finetune", "--recipe", tiny(tmp_path), "--processes", 2, "data.batch_size=auto", *LONG]
    variables = {"ZOO_CACHE": str(tmp_path / "cache"), "ACCELERATE_USE_CPU": "true"}
    done(*arguments, "--dry-run", **variables)
    plant(tmp_path / "cache", "bf16 channels-last")
    result = done(*arguments, "--out", tmp_path / "run", **variables)
    assert "batch size 64 (measured), 1 per optimiser step" in result.stderr.splitlines()
    facts = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert (facts["processes"], facts["precision"], facts["measured"]["batch_size"]) == (2, "bf16", 64)


def test_a_run_that_left_everything_open_before_there_was_measuring_goes_on(tmp_path: Path) -> None:
    arguments = ["finetune", "--recipe", tiny(tmp_path), "--out", tmp_path / "run", "train.channels_last=true"]
    stop_at(tmp_path / "run", 2, signal.SIGKILL, *arguments)
    written, facts = tmp_path / "run" / "recipe.yaml", tmp_path / "run" / "environment.json"
    written.write_text(written.read_text().replace("precision: fp32", "precision: auto"))
    facts.write_text(json.dumps({k: v for k, v in json.loads(facts.read_text()).items() if k != "measured"}))
    assert resume(tmp_path / "run")["images"] == 72
