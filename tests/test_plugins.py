"""Which plugins there are, by the metadata of what is installed, and which of them a name means."""

import os
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from zoo.errors import PluginError, UnknownName
from zoo.plugins import (
    KINDS,
    OWN,
    Plugin,
    find,
    find_backbone,
    find_optimizer,
    installed,
    resolve,
    unreadable,
    zoo_version,
)

HEAD = "def head(features, num_classes): ...\n"
PYPROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]


BEFORE = {p.owner for p in installed()}


def names(kind: str) -> list[str]:
    """Full names of the parts that a test installed."""
    return [p.full_name for p in installed(kind) if p.owner not in BEFORE]


@pytest.mark.parametrize("kind", KINDS)
def test_the_zoos_own_parts_come_through_the_same_door(kind):
    registered = PYPROJECT["entry-points"].get(KINDS[kind].group, {})
    own = [p for p in installed(kind) if p.owner == OWN]
    assert {p.name: p.target for p in own} == registered
    assert [p.name for p in own] == sorted(registered)
    assert {(p.kind, p.version) for p in own} <= {(kind, PYPROJECT["version"])}
    assert set(own) <= set(installed())


def test_listing_imports_nothing(install):
    install("zoo-loud", version="2.1", heads={"loud": "zoo_loud:head"}, files={"zoo_loud.py": "raise SystemExit('no')"})
    assert names("head") == ["zoo-loud:loud"]
    assert find("head", "loud") == Plugin("head", "loud", "zoo-loud", "2.1", "zoo_loud:head")


@pytest.fixture
def clash(install):
    install("zoo-a", heads={"x": "zoo_a:head"}, backbones={"cat": "zoo_a:head", "resnet18": "zoo_a:head"})
    install("zoo-b", version="0.2", heads={"x": "zoo_b:head"}, backbones={"cat": "zoo_b:head"})


@pytest.mark.parametrize(
    ("kind", "search", "name", "message"),
    [
        ("head", find, "x", "head 'x' is registered by zoo-a 1.0 and zoo-b 0.2. Say which: zoo-a:x, zoo-b:x"),
        (
            "backbone",
            lambda kind, name: find_backbone(name),
            "cat",
            "backbone 'cat' is registered by zoo-a 1.0 and zoo-b 0.2. Say which: zoo-a:cat, zoo-b:cat",
        ),
        (
            "backbone",
            lambda kind, name: find_backbone(name),
            "resnet18",
            "backbone 'resnet18' is registered by zoo-a 1.0 and by timm. Say which: zoo-a:resnet18, timm:resnet18",
        ),
    ],
)
def test_a_clash_names_all_owners(clash, kind, search, name, message):
    with pytest.raises(PluginError) as caught:
        search(kind, name)
    assert str(caught.value) == message


def test_a_name_of_timms_optimisers(install):
    install("zoo-a", optimizers={"adamw": "zoo_a:adamw", "mine": "zoo_a:mine"})
    with pytest.raises(PluginError) as caught:
        find_optimizer("adamw")
    assert str(caught.value) == (
        "optimizer 'adamw' is registered by zoo-a 1.0 and by timm. Say which: zoo-a:adamw, timm:adamw"
    )
    assert find_optimizer("zoo-a:adamw").target == "zoo_a:adamw"
    assert find_optimizer("mine") == resolve("optimizer", "mine") == find("optimizer", "mine")
    for name in ("timm:adamw", "sgd", "timm:sgd", "lookahead_adamw", "timm:lookahead_adamw"):
        assert find_optimizer(name) is resolve("optimizer", name) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("adamv", "unknown optimizer 'adamv'. Did you mean 'adam'? See them all: zoo list optimizers"),
        ("lookahead_lam", "unknown optimizer 'timm:lam'. Did you mean 'lamb'? See them all: zoo list optimizers"),
        ("lookahead_mine", "unknown optimizer 'timm:mine'. Did you mean 'mine'? See them all: zoo list optimizers"),
    ],
)
def test_an_unknown_optimiser(install, name, message):
    install("zoo-a", optimizers={"mine": "zoo_a:mine"})
    with pytest.raises(UnknownName) as caught:
        find_optimizer(name)
    assert str(caught.value) == message


def test_a_name_twice_in_one_distribution(install):
    info = install("zoo-a") / "zoo_a-1.0.dist-info"
    (info / "entry_points.txt").write_text("[zoo.heads]\nx = zoo_a:one\nx = zoo_a:two\n")
    installed.cache_clear()
    for name in ("x", "zoo-a:x"):
        with pytest.raises(PluginError) as caught:
            find("head", name)
        assert str(caught.value) == (
            f"head '{name}' is registered by zoo-a 1.0 more than once (zoo_a:one and zoo_a:two); only its author can fix that. "
            "Leave it out: pip uninstall zoo-a"
        )


def test_nobody_takes_a_full_name(install):
    install("zoo-a", heads={"timm-zoo:linear": "zoo_a:head"})
    assert find("head", "timm-zoo:linear").owner == find("head", "linear").owner == OWN


def test_a_name_in_other_letters_is_another_name(install):
    install("zoo-a", heads={"LINEAR": "zoo_a:head"})
    assert (find("head", "linear").owner, find("head", "LINEAR").owner) == (OWN, "zoo-a")


def test_an_owner_settles_a_clash(clash):
    assert find("head", "zoo-b:x").target == "zoo_b:head"
    assert find_backbone("zoo-a:cat").target == "zoo_a:head"
    assert find_backbone("zoo-a:resnet18").owner == "zoo-a"
    assert find_backbone("timm:resnet18") is None


def test_two_entry_points_that_say_the_same_are_one(install):
    install("zoo-a", heads={"x": "zoo_a:head"})
    install("zoo-a", heads={"x": "zoo_a:head"}, version="0.9")  # an older copy on the same path
    assert [name for name in names("head") if name.startswith("zoo-a")] == ["zoo-a:x"]


def test_two_spellings_of_one_name_are_one_distribution(install):
    install("zoo-a", heads={"x": "zoo_a:head"})
    install("Zoo_A", heads={"x": "zoo_a:head"})
    assert names("head") == ["zoo-a:x"]


def test_what_stands_earlier_on_the_path_hides_what_it_replaces(install, tmp_path, monkeypatch):
    install("zoo-a", heads={"x": "zoo_a:head"})
    newer = tmp_path / "newer" / "zoo_a-2.0.dist-info"
    newer.mkdir(parents=True)
    (newer / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-a\nVersion: 2.0\n")
    monkeypatch.syspath_prepend(str(newer.parent))
    installed.cache_clear()
    assert names("head") == []


def test_a_half_removed_distribution_is_passed_over(install):
    (install("zoo-gone", heads={"gone": "zoo_gone:head"}) / "zoo_gone-1.0.dist-info/METADATA").unlink()
    assert (names("head"), unreadable()) == ([], [])


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("entry_points.txt", b"[zoo.heads]\nx = \xff\n", "UnicodeDecodeError: "),
        ("entry_points.txt", b"[zoo.heads]\nx\n", "TypeError: "),
        ("METADATA", b"Name: zoo-\xff\n", "UnicodeDecodeError: "),
    ],
)
def test_broken_metadata_hides_nothing_else(install, file, content, reason):
    install("zoo-a", heads={"x": "zoo_a:head"})
    info = install("zoo-broken", heads={"y": "zoo_b:head"}) / "zoo_broken-1.0.dist-info"
    (info / file).write_bytes(content)
    installed.cache_clear()
    assert names("head") == ["zoo-a:x"]
    (fault,) = unreadable()
    assert fault.startswith(f"the metadata in {info} cannot be read: {reason}")
    assert fault.endswith(". Install it again or remove it")


def test_metadata_cannot_write_to_the_terminal(install):
    info = install("zoo-a", heads={"x": "zoo_a:head"}) / "zoo_a-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-a\x1b[31m\nVersion: 1\x07\n")
    installed.cache_clear()
    assert str(find("head", "x")) == "head 'x' of zoo-a\\x1b[31m 1\\x07"


def test_the_version_is_that_of_the_distribution():
    assert zoo_version() == version("timm-zoo")


@pytest.mark.parametrize("spelled", ["Zoo.Odd_Name", "zoo-odd-name", "ZOO__odd.name"])
def test_owners_are_spelled_one_way(install, spelled):
    install(spelled, heads={"odd": "zoo_odd:head"})
    assert find("head", "zoo-odd-name:odd").owner == "zoo-odd-name"


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (None, ["zoo-a:a", "zoo-b:b"]),
        ("", []),
        ("zoo-b", ["zoo-b:b"]),
        (" ZOO_A , zoo.b", ["zoo-a:a", "zoo-b:b"]),
        ("nobody", []),
    ],
)
def test_zoo_plugins_narrows_the_set(install, monkeypatch, wanted, found):
    if wanted is not None:
        monkeypatch.setenv("ZOO_PLUGINS", wanted)
    install("zoo-a", heads={"a": "zoo_a:head"})
    install("zoo-b", heads={"b": "zoo_b:head"})
    assert names("head") == found
    assert find("head", "linear").owner == OWN


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("head", "liner", "unknown head 'liner'. Did you mean 'linear'? See them all: zoo list heads"),
        ("head", "nobody:linear", "unknown head 'nobody:linear'. Did you mean 'linear'? See them all: zoo list heads"),
        ("source", "os:system", "unknown source 'os:system'. See them all: zoo list sources"),
        (
            "schedule",
            "two_stage",
            "unknown schedule 'two_stage'. Did you mean 'two-stage'? See them all: zoo list schedules",
        ),
    ],
)
def test_an_unknown_part(kind, name, message):
    with pytest.raises(UnknownName) as caught:
        find(kind, name)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet18.a1_in1k", "timm:resnet18", "local-dir:/some/where", "hf-hub:user/repo"]
)
def test_what_is_timms_needs_no_plugin(name):
    assert find_backbone(name) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cta", "Did you mean 'cat'? See them all: zoo list backbones"),
        ("timm:cat", "Did you mean 'cat'? See them all: zoo list backbones"),  # a plugin's, not timm's
        ("nobody:cat", "Did you mean 'cat'? See them all: zoo list backbones"),
        ("resent50", "Did you mean 'resnet50'? See them all: zoo list backbones"),
        ("quite-another-thing", "See them all: zoo list backbones"),
    ],
)
def test_an_unknown_backbone(install, name, message):
    install("zoo-a", backbones={"cat": "zoo_a:cat"})
    with pytest.raises(UnknownName) as caught:
        find_backbone(name)
    assert str(caught.value) == f"unknown backbone '{name}'. {message}"


@pytest.mark.parametrize("name", ["os:system", "zoo_here:head", "zoo_here", "./zoo_here.py", "zoo-here:head"])
def test_nothing_is_imported_because_a_name_says_so(install, tmp_path, monkeypatch, name):
    """A module that lies about, here or on the path, is no plugin."""
    (tmp_path / "zoo_here.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for kind in KINDS:
        with pytest.raises(UnknownName):
            resolve(kind, name)
    assert "zoo_here" not in sys.modules and os.getcwd() == str(tmp_path)
