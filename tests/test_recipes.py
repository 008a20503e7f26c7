"""The recipes of the folder: each one trains two steps on real images, and says what it lacks where a plugin is missing."""

import json
import re
from pathlib import Path

import pytest

import zoo
from zoo import plugins
from zoo.config.catalog import recipes
from zoo.config.loading import load_recipe
from zoo.config.recipe import Recipe
from zoo.errors import RecipeError
from zoo.plugins import installed

FAMILIES = ("alexnet", "convnext", "densenet", "efficientnet", "googlenet", "inception", "mobilenet", "resnet", "senet",
            "shufflenet", "squeezenet", "swin", "vgg", "vit")  # fmt: skip
SHIPPED = {r.name: r.path for r in recipes() if r.owner == "timm-zoo"}
ON_CIFAR10 = [name for name in SHIPPED if name.startswith("cifar10-")]
SIZES = {"cifar10-inception": 96, "cifar10-alexnet": 64, "cifar10-squeezenet": 64}
"""Pixels where 32 is less than the family takes."""
SMALLER = {"cifar10-vgg": ["model.options.mlp_ratio=0.05"], "cifar10-vit": ["model.options.depth=2"]}
"""Fewer of the many parameters that random weights do not need."""


def header(name: str) -> dict[str, str]:
    """word -> rest of each comment line above the recipe."""
    lines = [line.removeprefix("# ") for line in SHIPPED[name].read_text().split("\nmodel:")[0].splitlines()]
    return {line.partition(" ")[0]: line.partition(" ")[2].strip() for line in lines}


def owner(recipe: Recipe) -> str:
    """The distribution that a recipe's backbone names, '' for timm."""
    return recipe.model.backbone.rpartition(":")[0]


def test_every_family_has_a_recipe() -> None:
    assert {f"cifar10-{family}" for family in FAMILIES} <= set(ON_CIFAR10)


@pytest.mark.parametrize("name", ON_CIFAR10)
def test_a_claim_is_measured_or_published_or_not_made(name: str) -> None:
    claim = header(name)
    assert claim.keys() >= {"task", "expected", "seeds", "hardware", "minutes", "command"}
    assert claim["command"] == f"zoo finetune --recipe {name}"
    assert re.match(r"[\d.]+ % test accuracy \((measured|published).+|not measured", claim["expected"])


@pytest.mark.parametrize("name", ON_CIFAR10)
def test_two_steps_on_real_images_with_random_weights(name: str, cifar10: Path, tmp_path: Path) -> None:
    size = SIZES.get(name, 32)
    small = ["model.pretrained=false", "data.limit=10", "data.batch_size=10", f"data.image_size={size}"]
    short = ["train.epochs=2", *(["schedule.head_epochs=1"] if "head_epochs" in SHIPPED[name].read_text() else [])]
    if (lacking := owner(load_recipe(name))) and lacking not in {p.owner for p in installed("backbone")}:
        pytest.skip(f"needs the plugin {lacking}")
    settings = [f"data.source={cifar10}", *small, *short, *SMALLER.get(name, [])]
    metrics = zoo.finetune(name, settings, out=tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["event"] == "epoch"] == [1, 2]
    assert metrics["images"] == 10 and metrics["classes"][0] == "airplane"
    assert zoo.load(tmp_path / "run").about["image_size"] == size


@pytest.mark.parametrize("name", [n for n in SHIPPED if "plugin zoo-" in SHIPPED[n].read_text()])
def test_without_its_plugin_a_recipe_names_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_PLUGINS", "")
    plugins.installed.cache_clear()
    with pytest.raises(RecipeError) as caught:
        load_recipe(name, ["data.source=x"])
    (fault,) = caught.value.faults
    line = next(i for i, text in enumerate(SHIPPED[name].read_text().splitlines(), 1) if "backbone:" in text)
    backbone = SHIPPED[name].read_text().splitlines()[line - 1].split()[1]
    assert fault.startswith(f"{SHIPPED[name]}:{line}: model.backbone: unknown backbone '{backbone}'.")
