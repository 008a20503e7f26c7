"""`zoo plugin new`'s package: its names, its files, what it refuses. That it works is told in test_journey.py."""

import ast
import os
import re
import tomllib
from pathlib import Path

import pytest

from zoo.config.yaml12 import parse
from zoo.errors import UnknownName, UsageError
from zoo.verbs.new_plugin import TEMPLATES, plugin_files, words, write_plugin

KINDS = ("backbone", "head", "schedule", "recipe", "method")
ODD = ("paw", "zoo-paw", "Paw_Print.2", "3d", "123", "in", "null", "1e3", "torch", "test-net", "stage", "a" * 60)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ODD)
def test_any_name_gives_sound_files(name: str, kind: str) -> None:
    files, said = plugin_files(name, kind), words(name, kind)
    assert not [path for path, text in files.items() if re.search(r"\{\{|\}\}|\.template", path + text)]
    for text in (text for path, text in files.items() if path.endswith(".py")):
        ast.parse(text)
    project = tomllib.loads(files["pyproject.toml"])
    assert project["project"]["name"] == said["dist"]
    assert project["project"]["entry-points"]["zoo.recipes"] == {said["name"]: f"{said['module']}.recipes"}
    recipe, _ = parse(files[f"{said['module']}/recipes/{said['recipe']}.yaml"])
    if kind == "recipe":
        return
    target = project["project"]["entry-points"][f"zoo.{kind}s"][said["name"]]
    assert target == f"{said['module']}.{kind}:{said['identifier']}"
    assert defined(files[f"{said['module']}/{kind}.py"], said["identifier"]) == 1
    used = {
        "backbone": recipe["model"]["backbone"],
        "head": recipe["model"].get("head"),
        "schedule": recipe["schedule"],
        "method": recipe.get("method"),
    }
    assert (used[kind] if kind == "backbone" else used[kind]["name"]) == said["name"]


def defined(source: str, name: str) -> int:
    """How often a name is bound at the top of a module, by import, assignment or definition."""
    bound = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound += [alias.asname or alias.name for alias in node.names]
        elif isinstance(node, ast.Assign):
            bound += [target.id for target in node.targets]
        else:
            bound.append(getattr(node, "name", None))
    return bound.count(name)


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("paw", "head", ("zoo-paw", "zoo_paw", "paw", "Paw", "fashion-mnist-paw")),
        ("zoo-paw", "schedule", ("zoo-paw", "zoo_paw", "paw", "paw", "fashion-mnist-paw")),
        ("Zoo_Big.Paw", "backbone", ("zoo-big-paw", "zoo_big_paw", "big-paw", "big_paw", "fashion-mnist-big-paw")),
        ("paw", "recipe", ("zoo-paw", "zoo_paw", "paw", "paw", "paw")),
        ("3d", "head", ("zoo-3d", "zoo_3d", "3d", "Head3d", "fashion-mnist-3d")),
        ("torch", "backbone", ("zoo-torch", "zoo_torch", "torch", "backbone_torch", "fashion-mnist-torch")),
        ("feature-info", "head", ("zoo-feature-info", "zoo_feature_info", "feature-info", "HeadFeatureInfo", "fashion-mnist-feature-info")),
    ],
)  # fmt: skip
def test_names_are_made_from_the_one_given(name: str, kind: str, expected: tuple[str, ...]) -> None:
    said = words(name, kind)
    assert tuple(said[key] for key in ("dist", "module", "name", "identifier", "recipe")) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_a_plugin_is_written(kind: str, tmp_path: Path) -> None:
    written = write_plugin("paw", kind, tmp_path / "new" / "folder")
    folder = tmp_path / "new" / "folder" / "paw"
    assert set(written) == {path for path in folder.rglob("*") if path.is_file()}
    assert {path.relative_to(folder).as_posix(): path.read_text() for path in written} == plugin_files("paw", kind)
    assert os.listdir(folder.parent) == ["paw"]
    assert {"pyproject.toml", "README.md", "LICENSE", "tests", "zoo_paw"} == set(os.listdir(folder))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "'' cannot name a package: letters and digits, with - _ or . between them."),
        ("a b", "'a b' cannot name a package: letters and digits, with - _ or . between them. Try: zoo plugin new a-b --kind head"),
        ("../up", "'../up' cannot name a package: letters and digits, with - _ or . between them. Try: zoo plugin new up --kind head"),
        ("-paw", "'-paw' cannot name a package: letters and digits, with - _ or . between them. Try: zoo plugin new paw --kind head"),
        ("é", "'é' cannot name a package: letters and digits, with - _ or . between them."),
        ("paw\n", r"'paw\n' cannot name a package: letters and digits, with - _ or . between them. Try: zoo plugin new paw --kind head"),
        ("resnet18", "the name 'resnet18' is taken by model 'resnet18' of timm. Choose another, as in: zoo plugin new my-resnet18 --kind head"),
        ("zoo-vit_small-patch16-224", "the name 'vit-small-patch16-224' is taken by model 'vit_small_patch16_224' of timm. Choose another, as in: zoo plugin new my-vit-small-patch16-224 --kind head"),
    ],
)  # fmt: skip
def test_a_bad_name_is_refused_and_leaves_nothing(name: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        write_plugin(name, "head", tmp_path)
    assert str(error.value) == sentence
    assert os.listdir(tmp_path) == []


def test_what_is_installed_keeps_its_name(install, tmp_path: Path) -> None:
    files = {"zoo_fox/__init__.py": "", "zoo_fox/recipes/red.yaml": "", "zoo_fox/recipes/fashion-mnist-sly.yaml": ""}
    install("zoo-fox", files=files, heads={"tail": "zoo_fox:tail"}, recipes={"all": "zoo_fox.recipes"}, version="2.1")
    taken = {
        ("tail", "head"): "head 'tail' of zoo-fox 2.1",
        ("tail", "backbone"): "head 'tail' of zoo-fox 2.1",
        ("red", "recipe"): "recipe 'red' of zoo-fox",
        ("sly", "schedule"): "recipe 'fashion-mnist-sly' of zoo-fox",
        ("Fox", "schedule"): "the installed package zoo-fox 2.1",
    }
    for (name, kind), why in taken.items():
        with pytest.raises(UsageError, match=f"the name '{name.lower()}' is taken by {why}. Choose another, as in: "):
            write_plugin(name, kind, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("there", ["file", "folder", "dangling link"])
def test_nothing_is_overwritten(there: str, tmp_path: Path) -> None:
    target = tmp_path / "paw"
    {"file": target.touch, "folder": target.mkdir, "dangling link": lambda: target.symlink_to("nowhere")}[there]()
    with pytest.raises(UsageError, match=f"'{target}' exists and is left as it is"):
        write_plugin("paw", "head", tmp_path)
    assert os.listdir(tmp_path) == ["paw"] and not list(target.glob("*"))


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file/paw' cannot be written: Not a directory"):
        write_plugin("paw", "head", tmp_path / "file")
    with pytest.raises(UsageError, match="cannot be written: File name too long"):
        write_plugin("x" * 300, "head", tmp_path)
    assert os.listdir(tmp_path) == ["file"]


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(UnknownName, match=r"unknown kind of plugin 'haed'\. Did you mean 'head'\?"):
        plugin_files("paw", "haed")


def test_every_kind_has_templates_and_every_template_belongs_to_one() -> None:
    assert {path.name for path in TEMPLATES.iterdir()} == {*KINDS, "package"}
    assert not [path for path in TEMPLATES.rglob("*") if path.is_file() and path.suffix != ".template"]
