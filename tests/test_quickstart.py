"""The quickstart as users run it, and the claims of recipe headers that can be checked from their files."""

import json
from pathlib import Path

import timm
from processes import done

import zoo


def test_the_quickstart_keeps_its_promise(tmp_path: Path) -> None:
    done("finetune", "--recipe", "quickstart", "--out", tmp_path / "X")
    metrics = json.loads((tmp_path / "X" / "metrics.json").read_text())
    assert metrics["images"] == 1500
    assert metrics["accuracy"] >= 0.87
    assert zoo.evaluate(tmp_path / "X")["accuracy"] == metrics["accuracy"]


def test_cifar10_densenet_runs_through_its_phases_on_a_part(cifar10: Path, tmp_path: Path) -> None:
    small = [
        f"data.source={cifar10}",
        "model.pretrained=false",
        "data.limit=64",
        "train.epochs=2",
        "data.image_size=32",
    ]
    zoo.finetune("cifar10-densenet", small, tmp_path / "run")
    plain = timm.create_model(f"local-dir:{tmp_path / 'run' / 'model'}", pretrained=True)
    assert plain.num_classes == 10 and plain.pretrained_cfg["label_names"][0] == "airplane"
