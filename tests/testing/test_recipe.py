"""A recipe file, and a package of recipes."""

import pytest
from verdict import failed

from zoo.errors import ContractError
from zoo.testing import check_recipe

RECIPE = "# mine: a trial\nmodel: {backbone: test_resnet}\ndata: {source: 'sample:fashion-mnist'}\n"


def test_a_sound_recipe(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE)
    check_recipe(path)
    check_recipe(str(path))


def test_a_package_of_recipes(install):
    files = {"zoo_mine/__init__.py": "", "zoo_mine/recipes/a.yaml": RECIPE, "zoo_mine/recipes/b.yaml": RECIPE[16:]}
    install("zoo-mine", recipes={"mine": "zoo_mine.recipes"}, files=files)
    assert failed("recipe", "mine") == {
        "licence": "zoo-mine names none",
        "header": "b.yaml begins 'model: {backbone: test_resnet}'",
    }


@pytest.mark.parametrize(
    ("text", "point", "words"),
    [
        (RECIPE.removeprefix("# mine: a trial\n"), "header", "mine.yaml begins 'model:"),
        (RECIPE.replace("backbone", "bakbone"), "loading", "model.bakbone: unknown key. Did you mean 'backbone'?"),
        (RECIPE + "schedule: nonne\n", "loading", "unknown schedule 'nonne'. Did you mean 'none'?"),
        (RECIPE + "train: {epochs: many}\n", "loading", "train.epochs: expected a valid integer, found 'many'"),
        ("# mine: a trial\n- 1\n", "loading", "a recipe is a mapping"),
    ],
)
def test_each_fault_is_found(tmp_path, text, point, words):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ContractError) as caught:
        check_recipe(path)
    assert f": {point}: asked: " in str(caught.value) and words in str(caught.value)


def test_no_recipe_at_all(tmp_path, install):
    with pytest.raises(ContractError, match=r"no file .*gone\.yaml"):
        check_recipe(tmp_path / "gone.yaml")
    install("zoo-none", recipes={"none": "zoo_none.recipes"}, files={"zoo_none/__init__.py": ""})
    assert failed("recipe", "zoo-none:none")["files"] == "no *.yaml files"
