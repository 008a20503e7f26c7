import shlex
from pathlib import Path

import pytest
from pydantic import ValidationError

from zoo.config.loading import dump_recipe, load_recipe, parse_recipe, read_recipe
from zoo.config.recipe import Named, Recipe, sections

SHIPPED = sorted((Path(__file__).parents[2] / "recipes").glob("*"))
LEAST = {"model": {"backbone": "resnet18"}, "data": {"source": "x"}}


def test_there_are_shipped_recipes():
    assert "quickstart" in [path.stem for path in SHIPPED]
    assert {path.suffix for path in SHIPPED} == {".yaml"}


@pytest.fixture(params=SHIPPED, ids=lambda path: path.stem)
def shipped(request) -> Path:
    return request.param


def header(path: Path) -> dict[str, str]:
    """word -> rest of each comment line above the recipe: name, task, expected, ..., command."""
    lines = [line.removeprefix("# ") for line in path.read_text().split("\nmodel:")[0].splitlines()]
    return {line.partition(" ")[0]: line.partition(" ")[2].strip() for line in lines}


def overrides_of(path: Path) -> list[str]:
    """What the command in the header adds to the recipe: `data.source=PATH` where there is no default."""
    command = shlex.split(header(path)["command"])
    assert command[:4] == ["zoo", "finetune", "--recipe", path.stem]
    return command[4:]


def test_a_shipped_recipe_states_its_claim(shipped):
    assert header(shipped).keys() >= {f"{shipped.stem}:", "task", "expected", "command"}


def test_a_shipped_recipe_survives_being_written_and_read(shipped):
    recipe = read_recipe(shipped, overrides_of(shipped))
    text = dump_recipe(recipe)
    assert parse_recipe(text, "resolved") == recipe
    assert dump_recipe(parse_recipe(text, "resolved")) == text
    assert load_recipe(shipped.stem, overrides_of(shipped)) == recipe


@pytest.mark.parametrize(
    "options",
    [
        {"text": word}
        for word in (
            "1e-3",
            "no",
            "012",
            "1:30",
            "",
            "~",
            "true",
            ".inf",
            "a: b",
            "# x",
            "*x",
            "two\nlines",
            "é",
            " x ",
        )
    ]
    + [{"1e3": {"no": [1, 2.0, 1e-7, 1e22, True, None, "null"]}}],
)
def test_every_option_survives_being_written_and_read(options):
    recipe = Recipe.model_validate({**LEAST, "optim": {"options": options}})
    again = parse_recipe(dump_recipe(recipe), "resolved")
    assert again == recipe
    assert repr(again.optim.options) == repr(options)  # 2.0 is not 2


def test_what_is_shared_is_written_twice():
    shared = [1, 2]
    recipe = Recipe.model_validate({**LEAST, "optim": {"options": {"a": shared, "b": shared}}})
    assert parse_recipe(dump_recipe(recipe), "resolved") == recipe


def test_only_model_and_data_must_be_given():
    recipe = Recipe.model_validate(LEAST)
    assert (recipe.model.head, recipe.schedule) == (Named(name="linear"), Named(name="none"))
    assert dump_recipe(recipe).splitlines()[:2] == ["model:", "  backbone: resnet18"]
    assert [key for key, info, _ in sections(Recipe) if info.is_required()] == [
        *("model", "model.backbone", "data", "data.source")
    ]


@pytest.mark.parametrize("key", [row[0] for row in sections(Recipe)])
def test_every_key_is_documented(key):
    info = {name: info for name, info, _ in sections(Recipe)}[key]
    assert info.description and info.description[-1] in ".)", f"{key} has no line of documentation"


def test_sections_lists_every_key_depth_first():
    keys = [key for key, _, _ in sections(Recipe)]
    assert len(keys) == len(set(keys))
    assert keys[:3] == ["model", "model.backbone", "model.pretrained"]
    assert {"data.splits.validation", "data.augment.crop", "train.early_stop.patience", "schedule"} <= set(keys)
    assert {key for key, _, section in sections(Recipe) if section} == {
        *("model", "data", "data.splits", "data.augment", "optim", "train", "train.early_stop")
    }


@pytest.mark.parametrize("given", ["mlp", {"name": "mlp"}, {"name": "mlp", "hidden": 8}])
def test_a_part_is_a_name_with_options(given):
    head = Recipe.model_validate({**LEAST, "model": {"backbone": "resnet18", "head": given}}).model.head
    assert head.name == "mlp"
    assert head.options == ({"hidden": 8} if "hidden" in given else {})


def test_a_recipe_is_frozen():
    recipe = Recipe.model_validate(LEAST)
    for part, key in ((recipe, "schedule"), (recipe.model, "backbone"), (recipe.model.head, "name")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, key, "other")
