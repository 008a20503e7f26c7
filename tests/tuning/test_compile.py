"""torch.compile: where it is tried, what is made of the trial, and a run that it trains."""

import json
import shutil
from pathlib import Path

import pytest
import timm
from processes import epochs, run, tiny
from small import recipe

from zoo.config.loading import read_recipe
from zoo.distributed.processes import Processes
from zoo.errors import RunError
from zoo.reporting import Reporter
from zoo.training.setup import Setup, build
from zoo.tuning import compile
from zoo.tuning.benchmark import ComputeFormat
from zoo.tuning.compile import describe_trial, pays, run_trial
from zoo.verbs.finetune import finetune, plan

LONG = {"epochs": 100_000, "precision": "fp32", "channels_last": True}
"""Over an hour by operations and by any clock."""


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


def setup(**sections) -> Setup:
    sections["data"] = {"source": "sample:fashion-mnist", "limit": 600, "batch_size": 8, **sections.get("data", {})}
    return build(recipe("test_resnet", **sections))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, (False, "")),
        ({"plain": 50.0}, (False, "")),
        ({"plain": 50.0, "compiled": 25.0}, (True, "compiled (measured: 2.00x as fast compiled)")),
        ({"plain": 50.0, "compiled": 46.0}, (False, "not compiled (measured: 1.09x as fast compiled)")),
        ({"plain": 50.0, "failed": "no g++"}, (False, "not compiled, since torch.compile failed: no g++")),
    ],
)
def test_what_is_made_of_a_trial(found, expected):
    assert (pays(found), describe_trial({"compile_ms": found})) == expected


@pytest.mark.parametrize(
    "sections",
    [
        {"train": {**LONG, "epochs": 3}},
        {"train": {**LONG, "compile": False}},
        {"train": {**LONG, "compile": True}},
        {"train": LONG, "schedule": {"name": "gradual", "epochs_per_group": 2}, "data": {"augment": {"flip": False}}},
        {"train": LONG, "schedule": "linear-probe"},
    ],
    ids=["short", "refused", "decided", "kept features save more", "head alone"],
)
def test_where_nothing_is_tried(sections, monkeypatch):
    monkeypatch.setattr(compile, "_measure_trial", pytest.fail)
    assert run_trial(setup(**sections), Processes("fp32"), ComputeFormat("fp32", True), 8) == {}


def test_a_model_whose_operations_cannot_be_counted_is_no_failure(monkeypatch):
    monkeypatch.setattr(compile, "estimate_seconds", lambda setup, processes: 1 / 0)
    assert run_trial(setup(train=LONG), Processes("fp32"), ComputeFormat("fp32", True), 8) == {}


def test_a_run_that_is_long_by_operations_alone_is_not_compiled():
    """The machine is faster than the slowest for which operations are counted."""
    own = setup(train={**LONG, "epochs": 1})
    found = compile._measure_trial(own, Processes("fp32"), ComputeFormat("fp32", True), 8)
    assert list(found) == ["plain"] and found["plain"] > 0


def test_what_was_too_short_to_be_tried_is_tried_in_a_longer_run(monkeypatch):
    monkeypatch.setattr(compile, "compile_module", lambda module, how: module)
    monkeypatch.setattr(compile, "LONG_S", 30.0)
    tried = []
    monkeypatch.setattr(compile, "estimate_seconds", lambda setup, processes: 100.0)
    for count in (1, 100_000, 1):
        own = setup(train={**LONG, "epochs": count}, data={"limit": 40})
        tried.append(list(run_trial(own, Processes("fp32"), ComputeFormat("fp32", True), 8)))
    assert tried == [["plain"], ["plain", "compiled"], ["plain", "compiled"]]


def test_without_a_compiler_the_model_trains_as_it_is(tmp_path):
    settings = [
        "train.precision=fp32",
        "train.channels_last=true",
        "train.epochs=100000",
        "schedule=none",
        "data.limit=600",
    ]
    shown = run("finetune", "--recipe", tiny(tmp_path), "--dry-run", "--json", *settings, CXX=str(tmp_path / "none"))
    document = json.loads(shown.stdout)
    assert (document["compile"], list(document["measured"]["compile_ms"])) == (False, ["plain", "failed"])
    assert "not compiled, since torch.compile failed: " in shown.stderr and "Traceback" not in shown.stderr


def test_what_cannot_be_compiled_is_said_in_the_recipes_terms(tmp_path, monkeypatch):
    from torch._inductor import config

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    wanted = r"^train\.compile: torch\.compile failed: .* Start a new run with train\.compile=false$"
    settings = ["train.compile=true", "schedule=none", "train.precision=fp32", "model.head.dropout=0.2"]
    with config.patch({"cpp.cxx": (None, str(tmp_path / "none"))}), pytest.raises(RunError, match=wanted):
        finetune(str(tiny(tmp_path)), settings, tmp_path / "run")


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.timeout(1800)
def test_a_run_for_which_compiling_pays(tmp_path, monkeypatch):
    """Tried, kept for the next time, recorded; then two phases train compiled, and the model is plain again."""
    monkeypatch.setattr(compile, "LONG_S", 0.0)
    monkeypatch.setattr(compile, "FASTER", 1e-9)
    settings = ["train.epochs=2", "train.ema=0.9", "train.precision=fp32", "data.augment.flip=false"]
    tiny(tmp_path)
    found = plan(read_recipe(tmp_path / "tiny.yaml", settings), Reporter())
    assert found["compile"] is True and list(found["measured"]["compile_ms"]) == ["plain", "compiled"]
    monkeypatch.setattr(compile, "_measure_trial", pytest.fail)
    finetune(str(tmp_path / "tiny.yaml"), settings, tmp_path / "compiled")
    finetune(str(tmp_path / "tiny.yaml"), [*settings, "train.compile=false"], tmp_path / "plain")
    assert read_recipe(tmp_path / "compiled" / "recipe.yaml").train.compile is True
    facts = json.loads((tmp_path / "compiled" / "environment.json").read_text())
    assert facts["measured"] == found["measured"]
    for plain, faster in zip(epochs(tmp_path / "plain"), epochs(tmp_path / "compiled"), strict=True):
        assert faster["train_loss"] == pytest.approx(plain["train_loss"], rel=0.1)
    timm.create_model(f"local-dir:{tmp_path / 'compiled' / 'model'}", pretrained=True)
