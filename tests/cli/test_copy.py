"""zoo copy"""

import json

import pytest

from zoo.config.catalog import find_recipe


@pytest.mark.parametrize(
    ("file", "written"), [("mine.yaml", "mine.yaml"), ("mine.yml", "mine.yml"), ("v1.5", "v1.5.yaml")]
)
def test_a_copy_is_the_same_to_the_byte_and_can_be_checked(zoo, tmp_path, monkeypatch, file, written):
    monkeypatch.chdir(tmp_path)
    assert zoo("copy", "cifar10-vit", file) == (0, f"{written}\nnext: edit it, then zoo check {written}\n", "")
    assert (tmp_path / written).read_bytes() == find_recipe("cifar10-vit").read_bytes()
    assert zoo("check", f"./{written}") == (0, f"./{written}: no faults\n", "")


def test_as_json(zoo, tmp_path):
    code, out, _ = zoo("copy", "quickstart", tmp_path / "q", "--json")
    assert (code, json.loads(out)) == (0, {"recipe": "quickstart", "file": str(tmp_path / "q.yaml")})


def test_a_recipe_that_is_not_utf8_is_copied_as_it_is(zoo, tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"# caf\xe9")
    assert zoo("copy", tmp_path / "a.yaml", tmp_path / "b.yaml").code == 0
    assert (tmp_path / "b.yaml").read_bytes() == b"# caf\xe9"


@pytest.mark.parametrize(
    ("recipe", "file", "message"),
    [
        ("images", "there.yaml", "'there.yaml' exists and is left as it is; name another file"),
        ("images", "there", "'there.yaml' exists and is left as it is; name another file"),
        ("images", "no/x.yaml", "'no/x.yaml' cannot be written: No such file or directory"),
        ("images", "there.yaml/x.yaml", "'there.yaml/x.yaml' cannot be written: Not a directory"),
        ("images", "folder", "Invalid value for 'FILE': File 'folder' is a directory. See zoo copy --help"),
        ("imagse", "x.yaml", "unknown recipe 'imagse'. Did you mean 'images'? See them all: zoo list recipes"),
    ],
)
def test_nothing_is_overwritten(zoo, tmp_path, monkeypatch, recipe, file, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.yaml").write_text("mine")
    (tmp_path / "folder").mkdir()
    assert zoo("copy", recipe, file) == (2, "", f"error: {message}\n")
    assert {p.name for p in tmp_path.iterdir()} == {"there.yaml", "folder"}
    assert (tmp_path / "there.yaml").read_text() == "mine"
