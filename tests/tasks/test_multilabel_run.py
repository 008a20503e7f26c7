"""Several labels an image from the recipe to the published folder, on mosaics of the sample's pictures."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mosaics import NAMES, flags, mosaics, parquet
from processes import tiny

import zoo
from zoo.errors import RecipeError, UsageError, ZooError

SETTINGS = ("data.limit=null", "train.epochs=2", "train.checkpoint_s=60", "data.augment.mixup=0.2")


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, dict[str, Any]]]:
    """train(source, *overrides): (run folder, metrics)."""

    def make(source: Path, *overrides: str) -> tuple[Path, dict[str, Any]]:
        folder = tmp_path_factory.mktemp("run")
        settings = [f"data.source={source}", *SETTINGS, *overrides]
        return folder / "run", zoo.finetune(str(tiny(folder)), settings, out=folder / "run")

    return make


@pytest.fixture(scope="module")
def trained(train: Callable, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    return train(parquet(tmp_path_factory.mktemp("data") / "mosaics", mosaics()))


def test_a_list_of_class_labels_is_trained_by_bce_and_judged_by_map(trained: tuple[Path, dict[str, Any]]) -> None:
    folder, metrics = trained
    assert metrics["classes"] == list(NAMES)
    assert 0 <= metrics["map"] <= 1 and metrics["loss"] > 0 and "accuracy" not in metrics
    assert "confusion_matrix" not in metrics and set(metrics["per_class"]) == set(NAMES)
    recipe = (folder / "recipe.yaml").read_text()
    assert "\ntask: multilabel\n" in recipe and "  best_by: map\n" in recipe and "    name: bce\n" in recipe
    config = json.loads((folder / "model" / "config.json").read_text())
    assert config["zoo"]["task"] == "multilabel" and "rule" not in config["zoo"]
    assert config["problem_type"] == "multi_label_classification"


def test_evaluation_gives_the_same_figures(trained: tuple[Path, dict[str, Any]]) -> None:
    folder, metrics = trained
    again = zoo.evaluate(folder)
    for name in ("map", "macro_f1", "micro_f1", "samples_f1", "auroc", "loss", "per_class", "images"):
        assert again[name] == metrics[name], name


def test_a_picture_gets_the_labels_that_reach_their_threshold(
    trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    model = zoo.load(trained[0])
    pictures = [picture for picture, _ in mosaics(6, seed=1)]
    for i, picture in enumerate(pictures):
        picture.save(tmp_path / f"{i}.png")
    probabilities = model(pictures)
    logits = model.model(model.inputs(pictures))
    assert torch.equal(probabilities, logits.sigmoid())
    for row, result in zip(probabilities, zoo.predict(trained[0], [tmp_path]), strict=True):
        named = {found["name"]: found["probability"] for found in result["classes"]}
        assert set(named) == {name for name, p in zip(NAMES, row.tolist(), strict=True) if p >= 0.5}
        assert list(named.values()) == sorted(named.values(), reverse=True)


def test_what_is_pushed_says_that_there_are_labels(trained: tuple[Path, dict[str, Any]]) -> None:
    plan = zoo.push(trained[0], "user/mosaics", dry_run=True)
    assert not plan["pushed"]
    assert "confusion.png" not in json.dumps(plan) and "curves.png" in json.dumps(plan)
    card = (trained[0] / "model" / "README.md").read_text()
    assert "4 labels, of which a picture may have any number" in card
    assert "a picture may be given several, or none" in card and "\n- multi-label\n" in card


def test_a_table_with_several_labels_a_cell(train: Callable, tmp_path: Path) -> None:
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "label"])
        for i, (picture, labels) in enumerate(mosaics()):
            picture.save(tmp_path / f"{i}.png")
            table.writerow([f"{i}.png", "; ".join(NAMES[k] for k in labels)])
    with pytest.raises(ZooError, match=r"data\.label_delimiter=';' for several labels"):
        train(tmp_path / "labels.csv")
    folder, metrics = train(tmp_path / "labels.csv", "data.label_delimiter=';'")
    assert metrics["classes"] == sorted(NAMES) and metrics["map"] > 0
    assert zoo.evaluate(folder)["map"] == metrics["map"]


def test_what_is_unknown_teaches_nothing(train: Callable, tmp_path: Path) -> None:
    pictures = mosaics(80)
    hidden = {(i, int(k)): -1 for i, k in enumerate(np.random.default_rng(0).integers(0, 4, 80)) if i % 2}
    columns = f"data.label_column=[{','.join(NAMES)}]"
    source = flags(tmp_path / "some", pictures, hidden)
    _, metrics = train(source, columns)
    assert metrics["loss"] > 0 and metrics["classes"] == list(NAMES)
    with pytest.raises(UsageError, match="is for multiclass"):
        train(source, columns, "train.loss=focal")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.loss=cross-entropy"], "train.loss: 'cross-entropy' is for multiclass, where the classes of an image share "
            "one probability; with task=multilabel each has its own. Use train.loss=bce, or a plugin's: zoo list losses"),
        (["train.best_by=accuracy"], "train.best_by: 'accuracy' is not defined for task=multilabel. Take one of map, "),
    ],
)  # fmt: skip
def test_what_does_not_go_with_several_labels(
    train: Callable, tmp_path: Path, overrides: list[str], message: str
) -> None:
    source = parquet(tmp_path / "mosaics", mosaics(40))
    with pytest.raises(UsageError) as problem:
        train(source, *overrides)
    assert not isinstance(problem.value, RecipeError)
    assert str(problem.value).startswith(message)
