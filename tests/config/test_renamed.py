"""Keys that had another name in earlier versions: read in what a run left, refused with the new name where typed."""

import json
from pathlib import Path

import pytest
from processes import here, tiny

from zoo.config.loading import load_recipe, read_recipe, read_stored_recipe
from zoo.config.renamed import rename_keys
from zoo.errors import RecipeError
from zoo.models.saved import load
from zoo.verbs.evaluate import evaluate
from zoo.verbs.finetune import finetune
from zoo.verbs.resume import resume

TYPED = {
    "train.shard=true": "command line: train.shard: unknown key. It is called 'train.fsdp' now",
    "model.beside=[test_vit]": "command line: model.beside: unknown key. It is called 'model.concat' now",
}


@pytest.mark.parametrize("setting", TYPED)
def test_a_typed_key_is_refused_with_its_new_name(setting, tmp_path):
    with pytest.raises(RecipeError) as caught:
        read_recipe(tiny(tmp_path), [setting])
    assert str(caught.value) == TYPED[setting]


def test_a_recipe_that_somebody_wrote_is_refused_too(tmp_path):
    path = tiny(tmp_path)
    path.write_text(path.read_text().replace("checkpoint_s: 0", "shard: false"))
    with pytest.raises(RecipeError, match=r"tiny\.yaml:6: train\.shard: unknown key\. It is called 'train\.fsdp' now"):
        read_recipe(path)


def test_a_stored_recipe_is_read_under_the_new_names(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("{model: {backbone: test_resnet, beside: [test_vit]}, data: {source: x}, train: {shard: true}}")
    recipe = read_stored_recipe(path)
    assert (recipe.model.concat, recipe.train.fsdp) == (["test_vit"], True)
    with pytest.raises(RecipeError, match=r"It is called 'model\.concat' now"):
        load_recipe(str(path))
    (tmp_path / "environment.json").write_text("{}")  # from now on it is a run's
    assert load_recipe(str(path)) == recipe


def test_other_keys_stay():
    assert rename_keys({"model": None, "train": {"fsdp": True, "shard": False}}) == {
        "model": None,
        "train": {"fsdp": True, "shard": False},
    }


def rename_recipe_back(run: Path) -> None:
    """Write the old names into a run's recipe, as earlier versions did."""
    text = (run / "recipe.yaml").read_text()
    older = text.replace("\n  concat:", "\n  beside:").replace("\n  fsdp:", "\n  shard:")
    assert "  beside:" in older and "  shard:" in older
    (run / "recipe.yaml").write_text(older)


def rename_config_back(model: Path) -> None:
    """Write the old name into a model's `config.json`, as earlier versions did."""
    config = json.loads((model / "config.json").read_text())
    config["zoo"]["beside"] = config["zoo"].pop("concat")
    (model / "config.json").write_text(json.dumps(config))


def test_a_run_folder_from_before_is_resumed_evaluated_loaded_and_pushed(tmp_path):
    run = tmp_path / "run"
    settings = ["model.concat=[test_vit]", "train.epochs=2", "train.precision=fp32", "schedule=linear-probe"]
    first = finetune(str(tiny(tmp_path)), settings, run)
    (run / "metrics.json").unlink()
    rename_recipe_back(run)
    assert resume(run)["accuracy"] == first["accuracy"]
    rename_config_back(run / "model")
    assert evaluate(run)["accuracy"] == first["accuracy"]
    assert len(load(run).model.backbone.members) == 2
    pushed = here("push", run, "--dry-run", "--json")
    assert pushed.returncode == 0, pushed.stderr
