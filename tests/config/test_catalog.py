from pathlib import Path

import pytest

from zoo.config.catalog import Shipped, find_recipe, recipes
from zoo.errors import PluginError, UnknownName, UsageError
from zoo.plugins import installed

TEXT = "# pets: cats and dogs\nmodel: {backbone: resnet18}\ndata: {source: x}\n"
OURS = Path(__file__).parents[2] / "recipes"


def test_our_own_recipes_are_found():
    assert [r.name for r in recipes() if r.owner == "timm-zoo"] == sorted(path.stem for path in OURS.glob("*.yaml"))
    assert find_recipe("quickstart") == find_recipe("timm-zoo:quickstart") == OURS / "quickstart.yaml"


@pytest.mark.parametrize(
    ("target", "files"),
    [
        ("zoo_pets.recipes", {"zoo_pets/__init__.py": "", "zoo_pets/recipes/__init__.py": ""}),
        ("zoo_pets.recipes", {"zoo_pets/__init__.py": ""}),  # a folder of YAML files alone
        ("zoo_pets.recipes", {}),
        ("zoo_pets.recipes", {"zoo_pets/__init__.py": "raise SystemExit(3)"}),  # never imported
    ],
)
def test_a_plugins_recipes_are_found(install, target, files):
    data = {"zoo_pets/recipes/pets.yaml": TEXT, "zoo_pets/recipes/a.yaml": "", "zoo_pets/recipes/notes.txt": "not one"}
    folder = install("zoo-pets", recipes={"all": target}, files=files | data) / "zoo_pets/recipes"
    assert [r for r in recipes() if r.owner == "zoo-pets"] == [
        Shipped("a", "zoo-pets", folder / "a.yaml"),
        Shipped("pets", "zoo-pets", folder / "pets.yaml"),
    ]
    assert find_recipe("pets") == find_recipe("zoo-pets:pets") == folder / "pets.yaml"
    assert [r.name for r in recipes()] == sorted(r.name for r in recipes())


@pytest.mark.parametrize("target", ["zoo_gone", "zoo_gone.recipes", "zoo_module"])
def test_a_plugin_without_its_folder_has_no_recipes(install, target):
    install("zoo-gone", recipes={"all": target}, files={"zoo_module.py": ""})
    assert "zoo-gone" in {p.owner for p in installed("recipe")}
    assert "zoo-gone" not in {r.owner for r in recipes()}


def test_a_name_of_several_distributions_asks_which(install):
    for owner in ("zoo-a", "zoo-b"):
        package = owner.replace("-", "_")
        install(owner, recipes={"all": package}, files={f"{package}/pets.yaml": TEXT})
    with pytest.raises(PluginError) as caught:
        find_recipe("pets")
    assert str(caught.value) == ("recipe 'pets' comes with several distributions. Say which: zoo-a:pets, zoo-b:pets")
    assert find_recipe("zoo-b:pets").parent.name == "zoo_b"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("quick-start", "Did you mean 'quickstart'? See them all: zoo list recipes"),
        ("zoo-a:quickstart", "Did you mean 'quickstart'? See them all: zoo list recipes"),
    ],
)
def test_an_unknown_recipe(name, message):
    with pytest.raises(UnknownName) as caught:
        find_recipe(name)
    assert str(caught.value) == f"unknown recipe '{name}'. {message}"


def test_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").write_text(TEXT)
    (tmp_path / "my.yml").write_text(TEXT)
    (tmp_path / "folder.yaml").mkdir()
    assert find_recipe("my.yml") == Path("my.yml")
    assert find_recipe("./quickstart") == Path("quickstart")
    assert find_recipe("quickstart") == OURS / "quickstart.yaml"  # a name, whatever lies here
    for name in ("gone.yaml", "gone/quickstart", "folder.yaml", "a" * 300 + ".yaml", "nul\0.yaml"):
        with pytest.raises(UsageError) as caught:
            find_recipe(name)
        assert str(caught.value) == (
            f"no recipe file '{name}'. A recipe is a name (zoo list recipes) or a YAML file's path"
        )


def test_what_lies_here_but_is_no_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "notes.txt").write_text(TEXT)
    for name, onward in {
        "photos": "For pictures in the folder: zoo finetune --recipe images data.source=photos",
        "notes.txt": "A recipe's file is named .yaml",
    }.items():
        with pytest.raises(UnknownName) as caught:
            find_recipe(name)
        assert str(caught.value) == f"unknown recipe '{name}'. {onward}"


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        (TEXT.encode(), "cats and dogs"),
        (b"#cats\n", "cats"),
        (b"# other: x\n", "other: x"),
        (b"model: {}\n", ""),
        (b"", ""),
        (b"# caf\xe9\n", "caf\ufffd"),  # one recipe that is not UTF-8 does not spoil the list
    ],
)
def test_the_summary_is_the_first_comment(tmp_path, text, summary):
    (tmp_path / "pets.yaml").write_bytes(text)
    assert Shipped("pets", "zoo-pets", tmp_path / "pets.yaml").summary == summary


def test_a_summary_that_cannot_be_read_or_would_write_to_the_terminal(tmp_path):
    (tmp_path / "pets.yaml").write_text("# pets: \x1b[31mred\n")
    assert Shipped("pets", "zoo-pets", tmp_path / "pets.yaml").summary == "\\x1b[31mred"
    assert Shipped("gone", "zoo-pets", tmp_path / "gone.yaml").summary == "cannot be read: No such file or directory"


def test_what_is_no_file_is_no_recipe(install):
    site = install(
        "zoo-pets", recipes={"all": "zoo_pets"}, files={"zoo_pets/a.yaml/b.txt": "", "zoo_pets/c.yaml": TEXT}
    )
    (site / "zoo_pets" / "d.yaml").symlink_to("nowhere.yaml")
    assert [r.name for r in recipes() if r.owner == "zoo-pets"] == ["c"]


def test_a_folder_registered_twice_counts_once(install):
    install("zoo-pets", recipes={"all": "zoo_pets", "same": "zoo_pets"}, files={"zoo_pets/pets.yaml": TEXT})
    assert find_recipe("pets").name == "pets.yaml"


def test_a_name_twice_in_one_distribution_asks_for_the_file(install):
    files = {"zoo_pets/a/pets.yaml": TEXT, "zoo_pets/b/pets.yaml": TEXT}
    site = install("zoo-pets", recipes={"a": "zoo_pets.a", "b": "zoo_pets.b"}, files=files)
    with pytest.raises(PluginError) as caught:
        find_recipe("zoo-pets:pets")
    assert str(caught.value) == (
        f"recipe 'zoo-pets:pets' comes twice with zoo-pets. "
        f"Say which file: {site}/zoo_pets/a/pets.yaml and {site}/zoo_pets/b/pets.yaml"
    )
