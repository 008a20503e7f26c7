"""`zoo pretrain`: a backbone trained without labels, which timm loads and `zoo finetune` goes on with."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from processes import epochs, here, pair, stop_at
from safetensors.torch import load_file

from zoo.config.loading import read_recipe
from zoo.errors import DataError, ModelError, RunError, UsageError
from zoo.plugins import installed
from zoo.verbs.evaluate import evaluate
from zoo.verbs.finetune import finetune
from zoo.verbs.predict import predict
from zoo.verbs.pretrain import pretrain
from zoo.verbs.push import push
from zoo.verbs.resume import resume

RECIPE = """
model: {backbone: test_vit, pretrained: false}
data: {source: "sample:fashion-mnist", image_size: 32, batch_size: 16, limit: 48}
method: denoise
optim: {lr: 3e-3}
train: {epochs: 2, checkpoint_s: 0, precision: fp32, compile: false}
"""
"""2 epochs of 3 steps."""
WITHOUT_PLUGIN = not any(p.owner == "zoo-denoise" for p in installed("method"))

pytestmark = pytest.mark.skipif(WITHOUT_PLUGIN, reason="the plugin zoo-denoise is not installed")


def written(folder: Path) -> Path:
    path = folder / "denoise.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing ended."""
    folder = tmp_path_factory.mktemp("trained")
    result = here("pretrain", "--recipe", written(folder), "--out", folder / "run")
    assert result.returncode == 0, result.stderr
    assert "model.backbone=local-dir:" in result.stdout
    return folder / "run"


FEATURES = """
import sys, timm, torch
from safetensors.torch import save_file
model = timm.create_model("local-dir:" + sys.argv[1], pretrained=True, num_classes=0).eval()
images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
with torch.inference_mode():
    save_file({"features": model(images).contiguous()}, sys.argv[2])
"""


def test_plain_timm_gives_the_trained_features(trained, tmp_path):
    out = tmp_path / "features.safetensors"
    subprocess.run([sys.executable, "-c", FEATURES, trained / "model", out], check=True, timeout=240)
    import timm

    model = timm.create_model("test_vit", num_classes=0, img_size=32).eval()
    checkpoint = max((trained / "checkpoints").iterdir())
    model.load_state_dict(load_file(checkpoint / "model.safetensors"))
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(load_file(out)["features"], model(images))
    config = json.loads((trained / "model" / "config.json").read_text())
    assert config["num_classes"] == 0 and config["pretrained_cfg"]["input_size"] == [3, 32, 32]
    assert not any(config["pretrained_cfg"].get(key) for key in ("tag", "license", "paper_ids", "hf_hub_id"))


def test_the_loss_falls_and_the_last_weights_are_kept(trained):
    lines, result = epochs(trained), json.loads((trained / "metrics.json").read_text())
    assert lines[1]["validation"]["loss"] < lines[0]["validation"]["loss"]
    assert result["split"] == "validation" and result["loss"] == lines[1]["validation"]["loss"]
    assert result["best_epoch"] == 2 and [line["best"] for line in lines] == [True, True]
    facts = json.loads((trained / "environment.json").read_text())
    assert facts["verb"] == "pretrain" and sorted(facts["data"]["splits"]) == ["train", "validation"]


def test_finetune_goes_on_with_it(trained, tmp_path):
    again = ["method=supervised", f"model.backbone=local-dir:{trained / 'model'}", "model.pretrained=true"]
    frozen = ["schedule=linear-probe", "train.epochs=1"]
    result = finetune(read_recipe(written(tmp_path), [*again, *frozen]), out=tmp_path / "tuned")
    assert len(result["classes"]) == 10
    own, before = (load_file(run / "model" / "model.safetensors") for run in (tmp_path / "tuned", trained))
    assert before.keys() == {name for name in own if not name.startswith("head.")}
    assert all(torch.equal(own[name], tensor) for name, tensor in before.items())


def test_what_needs_a_classifier_says_so(trained, tmp_path):
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    for use in (
        lambda: evaluate(trained),
        lambda: list(predict(trained, [str(tmp_path / "a.png")])),
        lambda: push(trained, "user/name", dry_run=True),
    ):
        with pytest.raises(ModelError, match=r"without classifier, as zoo pretrain makes.*local-dir:"):
            use()


@pytest.mark.parametrize(
    ("verb", "change", "said"),
    [
        (finetune, (), "zoo pretrain takes it"),
        (pretrain, ("method=supervised",), "zoo finetune trains it"),
        (pretrain, ("train.best_by=last", "train.early_stop.patience=1"), "'last' compares no epochs"),
        (pretrain, ("train.best_by=accuracy",), "'accuracy' needs labels"),
        (pretrain, ("data.augment.mixup=0.2",), "data.augment.mixup: zoo pretrain"),
        (pretrain, ("method.sigma=-1",), "sigma=-1"),
    ],
)
def test_what_does_not_fit_is_refused_before_there_is_a_folder(verb, change, said, tmp_path):
    with pytest.raises(UsageError, match=said):
        verb(read_recipe(written(tmp_path), change), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_killed_run_goes_on_bit_for_bit(trained, tmp_path):
    command = ["pretrain", "--recipe", written(tmp_path), "--out", tmp_path / "run"]
    code, _ = stop_at(tmp_path / "run", 2, signal.SIGKILL, *command)
    assert code == -signal.SIGKILL
    result = resume(tmp_path / "run")
    assert epochs(tmp_path / "run") == epochs(trained) and result["split"] == "validation"
    own, other = (load_file(run / "model" / "model.safetensors") for run in (tmp_path / "run", trained))
    assert all(torch.equal(own[name], tensor) for name, tensor in other.items())


def test_a_finished_run_is_not_resumed_but_trained_on(trained):
    with pytest.raises(RunError) as caught:
        resume(trained)
    assert str(caught.value) == (
        f"{trained} is finished; train a classifier on it: "
        f"zoo finetune --recipe NAME model.backbone=local-dir:{trained}/model"
    )


def test_two_processes_train_what_one_trains(tmp_path):
    settings = ["optim.name=sgd", "optim.lr=0.05", "train.epochs=1"]
    command = ["pretrain", "--recipe", written(tmp_path)]
    for process in pair("-m", "zoo", *map(str, command), "--out", str(tmp_path / "two"), *settings):
        assert process.returncode == 0, process.stderr
    assert here(*command, "--out", tmp_path / "one", *settings).returncode == 0
    one, two = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("one", "two"))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=0, atol=1e-6)


def pictures(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (32, 32), (number * 10, 50, 200 - number * 10)).save(folder / f"{number}.png")


@pytest.mark.parametrize("folders", [(".",), ("a", "b/c"), (".", "a")], ids=["flat", "nested", "both"])
def test_a_folder_without_labels(folders, tmp_path):
    for folder in folders:
        pictures(tmp_path / "photos" / folder, 12)
    recipe = read_recipe(
        written(tmp_path), [f"data.source={tmp_path / 'photos'}", "data.validation_fraction=0.25", "train.epochs=1"]
    )
    pretrain(recipe, out=tmp_path / "run")
    splits = json.loads((tmp_path / "run" / "environment.json").read_text())["data"]["splits"]
    total = 12 * len(folders)
    assert {name: split["images"] for name, split in splits.items()} == {
        "train": total - total // 4,
        "validation": total // 4,
    }
    assert splits["validation"]["from"] == "train, drawn 0.25, seed 2"


def test_folders_called_as_splits_are_splits(tmp_path):
    pictures(tmp_path / "photos" / "train", 8)
    pictures(tmp_path / "photos" / "val", 4)
    recipe = read_recipe(written(tmp_path), [f"data.source={tmp_path / 'photos'}", "train.epochs=1"])
    assert pretrain(recipe, out=tmp_path / "run")["images"] == 4


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        ({"train": 3, "other": 2}, "mixes splits"),
        ({"train": 0}, "holds no images"),
        ({"train": 1}, "at least 2 images"),
    ],
)
def test_folders_that_do_not_serve(folders, said, tmp_path):
    for name, count in folders.items():
        pictures(tmp_path / "photos" / name, count)
    recipe = read_recipe(written(tmp_path), [f"data.source={tmp_path / 'photos'}"])
    with pytest.raises(DataError, match=said):
        pretrain(recipe, out=tmp_path / "run")


def test_the_head_phase_trains_the_decoder_and_patience_goes_by_the_loss(tmp_path):
    phases = ["schedule={name: two-stage, head_epochs: 1}", "train.epochs=3", "train.early_stop.patience=1"]
    unsteady = ["model.backbone=test_resnet", "optim.lr=0.05"]
    result = pretrain(read_recipe(written(tmp_path), [*phases, *unsteady]), out=tmp_path / "run")
    lines = epochs(tmp_path / "run")
    assert [line["phase"] for line in lines][:2] == [1, 2]
    assert result["loss"] == min(line["validation"]["loss"] for line in lines)


def test_a_plan_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = here("pretrain", "--recipe", written(tmp_path), "--dry-run", "--json")
    plan = json.loads(result.stdout)
    assert plan["images"] == {"train": 48, "validation": 48} and plan["classes"] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["denoise.yaml"]


def test_finetune_may_keep_the_last_epoch(tmp_path):
    keeps = ["method=supervised", "train.best_by=last", "train.epochs=2", "optim.lr=1e-9"]
    result = finetune(read_recipe(written(tmp_path), keeps), out=tmp_path / "run")
    assert result["best_epoch"] == 2
