"""A recipe becomes a run folder that plain timm reads; one seed gives one result; failures lose nothing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from forks import popen
from PIL import Image
from processes import epochs, run, tiny, weights_hash

import zoo
from zoo.config.loading import load_recipe, read_recipe
from zoo.errors import DataError, NonFiniteLoss, RunError, UsageError
from zoo.models.classifier import build_classifier
from zoo.reporting import Reporter
from zoo.verbs.finetune import finetune, plan


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the tiny recipe."""
    folder = tmp_path_factory.mktemp("finished")
    finetune(str(tiny(folder)), ["train.ema=0.9"], out=folder / "run")
    return folder / "run"


def test_a_run_folder_holds_what_the_design_says(finished: Path) -> None:
    assert {p.name for p in finished.iterdir()} == {
        "recipe.yaml", "environment.json", "metrics.jsonl", "metrics.json", "events", "checkpoints", "model", "run.lock",
    }  # fmt: skip
    assert {p.name for p in (finished / "model").iterdir()} == {"config.json", "model.safetensors", "README.md"}
    assert len(list((finished / "events").glob("events.out.tfevents.*"))) == 1
    assert [p.name for p in sorted((finished / "checkpoints").iterdir())] == ["step-00000014", "step-00000015"]


def test_metrics_cover_every_test_image_once(finished: Path) -> None:
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["images"] == 72 == sum(map(sum, metrics["confusion_matrix"]))
    assert {"accuracy", "top5", "macro_f1", "macro_precision", "balanced_accuracy", "auroc", "loss"} <= metrics.keys()
    hits = sum(metrics["confusion_matrix"][k][k] for k in range(10))
    assert metrics["accuracy"] == pytest.approx(hits / 72, abs=1e-6)
    assert len(metrics["per_class"]) == 10 and list(metrics["per_class"]) == metrics["classes"]


def test_plain_timm_loads_the_model_with_the_same_logits(finished: Path) -> None:
    images = torch.randn(4, 3, 32, 32)
    plain = timm.create_model(f"local-dir:{finished / 'model'}", pretrained=True).eval()
    with torch.inference_mode():
        assert torch.equal(plain(images), zoo.load(finished).model(images))
    assert plain.pretrained_cfg["input_size"] == (3, 32, 32)
    assert plain.pretrained_cfg["label_names"] == list(zoo.load(finished).classes)


def test_what_is_evaluated_again_equals_what_was_written(finished: Path) -> None:
    written = json.loads((finished / "metrics.json").read_text())
    again = zoo.evaluate(finished)
    assert {k: again[k] for k in ("accuracy", "loss", "confusion_matrix")} == {
        k: written[k] for k in ("accuracy", "loss", "confusion_matrix")
    }


def test_the_recipe_written_repeats_the_run(finished: Path, tmp_path: Path) -> None:
    finetune(str(finished / "recipe.yaml"), out=tmp_path / "again")
    assert weights_hash(tmp_path / "again") == weights_hash(finished)
    assert epochs(tmp_path / "again") == epochs(finished)


def test_another_seed_gives_another_result(finished: Path, tmp_path: Path) -> None:
    finetune(str(finished / "recipe.yaml"), ["train.seed=1"], out=tmp_path / "other")
    assert weights_hash(tmp_path / "other") != weights_hash(finished)


def test_the_environment_says_what_it_ran_on(finished: Path) -> None:
    facts = json.loads((finished / "environment.json").read_text())
    assert facts["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert facts["precision"] == "fp32" and facts["processes"] == 1
    assert facts["channels_last"] is True and facts["measured"] == {} and facts["device"]["processor"]
    assert {p["kind"]: p["owner"] for p in facts["plugins"]} == {
        "method": "timm-zoo",
        "head": "timm-zoo",
        "schedule": "timm-zoo",
        "loss": "timm-zoo",
        "optimizer": "timm",
        "backbone": "timm",
    }
    assert facts["data"]["splits"]["train"] == {"images": 72, "from": "train, limited to 72"}


OPTIONS = {
    "mlp head, gradual": ["model.head=mlp", "schedule=gradual"],
    "linear probe": ["schedule=linear-probe"],
    "probe without a cache": ["schedule=linear-probe", "train.cache_features=false"],
    "first-k, frozen statistics": ["schedule=first-k", "schedule.k=2", "train.freeze_bn_stats=true"],
    "mixup and cutmix": ["schedule=none", "data.augment.mixup=0.2", "data.augment.cutmix=1.0"],
    "accumulation": ["train.accumulation=3", "schedule=none"],
    "resized crops": ["data.augment.crop=resized", "data.augment.rotate=10", "data.augment.jitter=0.2", "data.augment.erase=0.5"],
    "grey": ["model.in_chans=1"],
    "streamed": ["data.in_memory=false", "data.workers=2"],
    "sgd, linear decay": ["optim.name=sgd", "optim.options.momentum=0.9", "optim.lr_schedule=linear", "optim.layer_decay=0.75"],
    "bf16": ["train.precision=bf16"],
    "transformer": ["model.backbone=test_vit", "schedule=gradual"],
    "distilled": ["model.backbone=deit_tiny_distilled_patch16_224", "schedule=linear-probe", "data.limit=20"],
    "early stop": ["train.early_stop.patience=1", "optim.lr=1e-9"],
}  # fmt: skip


@pytest.mark.parametrize("overrides", OPTIONS.values(), ids=OPTIONS)
def test_every_option_trains(overrides: list[str], tmp_path: Path) -> None:
    result = finetune(
        str(tiny(tmp_path)),
        ["train.epochs=2", "data.limit=40", "train.checkpoint_s=60", *overrides],
        out=tmp_path / "run",
    )
    assert result["images"] in (40, 20) and 0 <= result["accuracy"] <= 1
    assert zoo.load(tmp_path / "run").classes == tuple(result["classes"])


OWN = {kind: [part["name"] for part in listed if part["owner"] == "timm-zoo"]
       for kind, listed in (("head", zoo.list_heads()), ("schedule", zoo.list_schedules()))}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "name"), [("model.head", name) for name in OWN["head"]] + [("schedule", name) for name in OWN["schedule"]]
)
def test_every_head_and_every_schedule_trains(key: str, name: str, tmp_path: Path) -> None:
    """With precision, memory format and compiling left open, as recipes leave them."""
    settings = [] if key == "schedule" else ["schedule=none"]
    backbone = "test_vit" if name == "token-mean" else "test_resnet"
    overrides = [*settings, f"{key}={name}", f"model.backbone={backbone}", "train.epochs=3", "data.limit=20"]
    result = finetune(str(tiny(tmp_path)), overrides, out=tmp_path / "run")
    assert result["images"] == 20 and zoo.load(tmp_path / "run").classes == tuple(result["classes"])


def test_streaming_changes_nothing(finished: Path, tmp_path: Path) -> None:
    finetune(str(finished / "recipe.yaml"), ["data.in_memory=false", "data.workers=1"], out=tmp_path / "streamed")
    assert weights_hash(tmp_path / "streamed") == weights_hash(finished)


def test_a_target_ends_training(tmp_path: Path) -> None:
    result = finetune(str(tiny(tmp_path)), ["train.early_stop.target=0.01"], out=tmp_path / "run")
    assert result["epochs"] == 1


def test_the_frozen_backbone_stays_as_it_was(tmp_path: Path) -> None:
    recipe = load_recipe(
        "quickstart", ["data.limit=40", "train.epochs=1", "schedule=linear-probe", "data.image_size=32"]
    )
    finetune(recipe, out=tmp_path / "run")
    before = build_classifier(recipe.model, 10, 32).state_dict()
    after = zoo.load(tmp_path / "run").model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"classifier.weight", "classifier.bias"}


def test_a_dry_run_plans_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    document = plan(read_recipe(tiny(tmp_path)), Reporter())
    assert [p["cached_features"] for p in document["phases"]] == [True, False]
    assert [p["steps"] for p in document["phases"]] == [5, 10]
    assert document["images"] == {"train": 72, "validation": 72, "test": 72}
    assert document["seconds"] > 0 and document["memory_bytes"]["weights_and_optimiser"] > 1e6
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.yaml"]


def test_a_wrong_budget_is_found_before_there_is_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE_GB", "lots")
    with pytest.raises(UsageError, match="ZOO_CACHE_GB: "):
        finetune(str(tiny(tmp_path)), [], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_diverging_run_stops_and_keeps_its_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLoss) as caught:
        finetune(
            str(tiny(tmp_path)),
            ["schedule=none", "optim.name=sgd", "optim.lr=1e30", "optim.clip_norm=null"],
            out=tmp_path / "run",
        )
    step = int(str(caught.value).split("at step ")[1].split()[0])
    assert str(caught.value) == (
        f"the loss became nan at step {step} (phase 1, epoch 1, batch {step}). Nothing of it is kept. "
        f"Try a smaller optim.lr (now 1e+30), optim.clip_norm=1.0 or train.precision=fp32"
    )
    assert not (tmp_path / "run" / "model").exists() and not (tmp_path / "run" / "metrics.json").exists()
    if step > 1:
        assert (tmp_path / "run" / "checkpoints" / f"step-{step - 1:08d}").is_dir()


SCARCE = """
import resource, sys, zoo.training.trainer, zoo.verbs.finetune, zoo.cli
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 700_000_000,) * 2)
sys.exit(zoo.cli.main(sys.argv[1:]))
"""


def test_out_of_memory_says_what_to_try(tmp_path: Path) -> None:
    size = [
        "data.image_size=1024",
        "data.batch_size=72",
        "data.in_memory=false",
        "data.workers=0",
        "train.accumulation=2",
        "train.precision=fp32",
        "train.channels_last=true",
    ]
    arguments = ["finetune", "--recipe", str(tiny(tmp_path)), "--out", str(tmp_path / "run"), *size]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = popen([sys.executable, "-c", SCARCE, *arguments], os.environ, **pipes)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert err.splitlines()[-1] == (
        "error: out of memory with data.batch_size=72, data.image_size=1024, train.precision=fp32. Try data.batch_size=36 "
        "train.accumulation=4 (the same effective batch), a smaller data.image_size or train.precision=bf16"
    )
    assert not (tmp_path / "run" / "model").exists()


REFUSED = {
    "no data": (["data.source=./nowhere"], DataError),
    "no such optimiser": (["optim.name=adamv"], UsageError),
    "fp16 on a CPU": (["train.precision=fp16"], UsageError),
    "too many head epochs": (["schedule.head_epochs=3"], UsageError),
}


@pytest.mark.parametrize("overrides, kind", REFUSED.values(), ids=REFUSED)
def test_wrong_input_leaves_no_folder(overrides: list[str], kind: type, tmp_path: Path) -> None:
    with pytest.raises(kind):
        finetune(str(tiny(tmp_path)), overrides, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes of 20 pictures, one of which is no picture."""
    for name, colour in (("cat", "red"), ("dog", "blue")):
        (tmp_path / "pictures" / "train" / name).mkdir(parents=True)
        for i in range(20):
            Image.new("RGB", (40, 30), colour).save(tmp_path / "pictures" / "train" / name / f"{i}.png")
    shutil.copytree(tmp_path / "pictures" / "train", tmp_path / "pictures" / "test")
    shutil.copytree(tmp_path / "pictures" / "train", tmp_path / "pictures" / "val")
    (tmp_path / "pictures" / "train" / "dog" / "7.png").write_bytes(b"woof")
    return tmp_path / "pictures"


def test_an_unreadable_picture_stops_the_run_before_it_starts(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        finetune(str(tiny(tmp_path)), [f"data.source={pictures}"], out=tmp_path / "run")
    assert str(caught.value) == (
        f"1 of 40 images cannot be read: {pictures / 'train' / 'dog' / '7.png'}: not an image that can be read. "
        "Mend or remove them, or pass data.corrupt=skip for training images"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("checkpoint_s", "kept"), [(60, False), (0, True)])
def test_a_streamed_run_that_meets_an_unreadable_picture(
    checkpoint_s: int, kept: bool, pictures: Path, tmp_path: Path
) -> None:
    """It is as if it had not begun, unless a step of it is kept."""
    overrides = [
        f"data.source={pictures}",
        "data.in_memory=false",
        "data.workers=0",
        "schedule=none",
        "data.batch_size=2",
    ]
    with pytest.raises(DataError):
        finetune(str(tiny(tmp_path)), [*overrides, f"train.checkpoint_s={checkpoint_s}"], out=tmp_path / "run")
    assert (tmp_path / "run").exists() == kept


@pytest.mark.parametrize("in_memory", ["true", "false"])
def test_unreadable_pictures_are_skipped_if_asked(in_memory: str, pictures: Path, tmp_path: Path) -> None:
    told: list[str] = []
    reporter = type("Listener", (Reporter,), {"warn": lambda self, text: told.append(text)})()
    overrides = [f"data.source={pictures}", "data.corrupt=skip", f"data.in_memory={in_memory}", "data.workers=0"]
    result = finetune(str(tiny(tmp_path)), overrides, out=tmp_path / "run", reporter=reporter)
    assert result["accuracy"] == 1.0 and result["images"] == 40
    bad = pictures / "train" / "dog" / "7.png"
    assert told == [f"1 of 40 training images are skipped: {bad}: not an image that can be read"]


def test_a_folder_with_a_run_is_not_taken(finished: Path, tmp_path: Path) -> None:
    before = weights_hash(finished)
    with pytest.raises(RunError) as caught:
        finetune(str(tiny(tmp_path)), out=finished)
    assert (
        str(caught.value)
        == f"{finished} already holds a run; see its result: zoo evaluate {finished}, or choose another --out"
    )
    assert weights_hash(finished) == before


def test_the_command_prints_one_json_document(tmp_path: Path) -> None:
    result = run(
        "finetune", "--recipe", tiny(tmp_path), "--out", tmp_path / "run", "--json", "train.epochs=2", "data.limit=30"
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["images"] == 30
    lines = result.stderr.splitlines()
    assert lines[0] == "test_resnet + linear (0.4 M parameters) on sample:fashion-mnist (10 classes)"
    assert any(line.startswith("epoch   2  phase 2  training loss") for line in lines)
