"""A resolved recipe is what reading the file gives, from memory only as long as nothing it hangs on changed."""

import json
import os
from pathlib import Path

import pytest
from processes import TINY

from zoo.config.loading import dump_recipe, read_recipe
from zoo.config.resolved_cache import READERS, resolved
from zoo.errors import RecipeError


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "tiny.yaml").write_text(TINY)
    return tmp_path / "tiny.yaml"


def kept(path: Path) -> list[Path]:
    return sorted((path.parent / "cache" / "recipes").glob("*.json"))


def test_it_is_what_reading_the_file_gives(path):
    recipe = read_recipe(path)
    for _ in range(2):
        found = resolved(path)
        assert found.text == dump_recipe(recipe)
        assert found.tree == json.loads(json.dumps(recipe.model_dump()))
    assert len(kept(path)) == 1


def test_another_file_or_other_parts_are_read_anew(path, install):
    resolved(path)
    path.write_text(TINY.replace("epochs: 3", "epochs: 4"))
    assert resolved(path).tree["train"]["epochs"] == 4
    install("zoo-new", heads={"new": "zoo_new:head"})
    resolved(path)
    assert len(kept(path)) == 3


def test_faults_are_never_kept(path):
    path.write_text(TINY.replace("epochs: 3", "epoch: 3"))
    for _ in range(2):
        with pytest.raises(RecipeError, match=r"train\.epoch: unknown key\. Did you mean 'epochs'\?"):
            resolved(path)
    assert kept(path) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"text": "x"}', "null"])
def test_a_damaged_memory_is_made_anew(path, content):
    found = resolved(path)
    kept(path)[0].write_text(content)
    assert resolved(path) == found


def test_a_folder_that_cannot_be_written_is_no_fault(path, monkeypatch):
    (path.parent / "file").write_text("")
    monkeypatch.setenv("ZOO_CACHE", str(path.parent / "file"))
    assert resolved(path).text == dump_recipe(read_recipe(path))


def test_every_module_that_reads_recipes_counts():
    import zoo

    assert all(os.path.isfile(Path(zoo.__file__).parent / name) for name in READERS)
