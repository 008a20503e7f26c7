import os
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from zoo.contracts import API_VERSION
from zoo.errors import PluginError, UnknownName
from zoo.plugins import (
    KINDS,
    OWN,
    Plugin,
    find,
    find_backbone,
    find_optimizer,
    installed,
    part,
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
    registered = PYPROJECT["entry-points"].get(f"zoo.{KINDS[kind]}", {})
    own = [p for p in installed(kind) if p.owner == OWN]
    assert {p.name: p.target for p in own} == registered
    assert [p.name for p in own] == sorted(registered)
    assert {(p.kind, p.version) for p in own} <= {(kind, PYPROJECT["version"])}
    assert set(own) <= set(installed())


def test_listing_imports_nothing(install):
    install("zoo-loud", version="2.1", heads={"loud": "zoo_loud:head"}, files={"zoo_loud.py": "raise SystemExit('no')"})
    assert names("head") == ["zoo-loud:loud"]
    assert find("head", "loud") == Plugin("head", "loud", "zoo-loud", "2.1", "zoo_loud:head")


def test_a_part_is_loaded(install):
    install("zoo-x", heads={"x": "zoo_x:head"}, files={"zoo_x.py": HEAD})
    assert find("head", "x").load().__module__ == "zoo_x"


@pytest.mark.parametrize(
    ("target", "source", "reason"),
    [
        ("zoo_x:head", "raise ValueError('one\\ntwo')", "ValueError: one"),
        ("zoo_x:head", "import sys\nsys.exit(3)", "SystemExit: 3"),
        ("zoo_x:head", "class Odd(BaseException): ...\nraise Odd('x')", "Odd: x"),
        ("zoo_x:head", "import json.not_there", "ModuleNotFoundError: No module named 'json.not_there'"),
        ("zoo_x:head", "raise ModuleNotFoundError", "ModuleNotFoundError: "),
        ("zoo_x:head", "raise ModuleNotFoundError(name=3)", "ModuleNotFoundError: "),
        ("zoo_x:head", "\n\ndef head(:", "SyntaxError: invalid syntax (SITE/zoo_x.py:3)"),
        ("zoo_x:head", "raise Exception('\x1b[31mred')", "Exception: \\x1b[31mred"),
        ("zoo_x:head", "class Mute(Exception):\n def __str__(self): raise ValueError\nraise Mute", "Mute: it has no message"),
        ("zoo_x:head", "raise SystemExit", "SystemExit: "),
        ("zoo_x:head", "def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded"),
        ("zoo_x:haed", HEAD, "AttributeError: module 'zoo_x' has no attribute 'haed'"),
        ("zoo_y:head", HEAD, "ModuleNotFoundError: No module named 'zoo_y'"),
        ("zoo_x:head", "import warnings\nwarnings.warn('old')", "UserWarning: old"),
    ],
)  # fmt: skip
def test_a_part_that_cannot_be_imported(install, target, source, reason):
    site = install("zoo-x", heads={"x": target}, files={"zoo_x.py": source})
    with pytest.raises(PluginError) as caught:
        find("head", "x").load()
    assert str(caught.value) == (
        f"head 'x' of zoo-x 1.0 cannot be imported ({target}): {reason.replace('SITE', str(site))}. "
        f"Mend it or leave it out: pip uninstall zoo-x"
    )
    assert find("head", "linear").owner == OWN  # nobody else is bothered


def test_a_missing_dependency_says_what_to_install(install):
    install("zoo-x", heads={"x": "zoo_x:head"}, files={"zoo_x.py": "from not_there_at_all.deep import it"})
    with pytest.raises(PluginError) as caught:
        find("head", "x").load()
    assert str(caught.value) == (
        "head 'x' of zoo-x 1.0 cannot be imported (zoo_x:head): it needs the module 'not_there_at_all', which is not "
        "installed. Try: pip install not_there_at_all"
    )


def test_what_a_plugin_prints_at_import_goes_to_stderr(install, capfd):
    loud = (
        "import os, sys\nprint('one')\nos.write(1, b'two\\n')\nos.system('echo three')\nsys.stdout.write('four\\n')\n"
    )
    install("zoo-x", heads={"x": "zoo_x:head"}, files={"zoo_x.py": loud + "sys.stdout = None\n" + HEAD})
    print("before")
    find("head", "x").load()
    print("after")
    out, err = capfd.readouterr()
    assert out == "before\nafter\n"
    assert sorted(err.split()) == ["four", "one", "three", "two"]


def test_a_plugin_loads_where_stdout_and_stderr_are_closed(install):
    site = install("zoo-x", heads={"x": "zoo_x:head"}, files={"zoo_x.py": "print('x')\n" + HEAD})
    code = "import sys, zoo.plugins as p; sys.exit(3 if p.find('head', 'x').load().__module__ == 'zoo_x' else 4)"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r}); {code}"]
    assert subprocess.run(["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *command], cwd=site).returncode == 3


def test_a_slow_import_says_so(install, capfd, monkeypatch):
    monkeypatch.setattr(part, "SLOW_S", 0.01)
    slow = "import threading\nwhile any(isinstance(t, threading.Timer) for t in threading.enumerate()): pass\n"
    install("zoo-x", heads={"x": "zoo_x:head"}, files={"zoo_x.py": slow + HEAD})
    find("head", "x").load()
    assert capfd.readouterr() == ("", "still importing zoo_x:head for head 'x' of zoo-x 1.0; Ctrl-C ends it\n")


def test_ctrl_c_during_an_import_is_no_plugins_fault(install):
    install("zoo-x", heads={"x": "zoo_x:head"}, files={"zoo_x.py": "raise KeyboardInterrupt"})
    with pytest.raises(KeyboardInterrupt):
        find("head", "x").load()


def test_a_part_that_cannot_be_called(install):
    install("zoo-x", heads={"x": "zoo_x:head"}, files={"zoo_x.py": "head = {'a': 1}"})
    with pytest.raises(PluginError) as caught:
        find("head", "x").load()
    assert str(caught.value) == (
        "head 'x' of zoo-x 1.0: zoo_x:head is a dict, but the contract asks for something that can be called"
    )


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("x", "zoo_x:", "its entry point is 'zoo_x:', but must read x = \"module:attribute\""),
        ("x", "zoo_x", "its entry point is 'zoo_x', but must read x = \"module:attribute\""),
        ("x", ":head", "its entry point is ':head', but must read x = \"module:attribute\""),
        ("x", "zoo x:head", "its entry point is 'zoo x:head', but must read x = \"module:attribute\""),
        ("x", "zoo_x..y:head", "its entry point is 'zoo_x..y:head', but must read x = \"module:attribute\""),
        ("x", "os.system('x')", "its entry point is 'os.system('x')', but must read x = \"module:attribute\""),
        ("x", "\x1b[2Jx", "its entry point is '\\x1b[2Jx', but must read x = \"module:attribute\""),
        ("x y", "zoo_x:head", "a part's name has letters, digits and . _ + - only; its author must rename it"),
        ("zoo:x", "zoo_x:head", "a part's name has letters, digits and . _ + - only; its author must rename it"),
        ("\x1b[31mx", "zoo_x:head", "a part's name has letters, digits and . _ + - only; its author must rename it"),
    ],
)
def test_a_malformed_entry_point(install, name, value, fault):
    install("zoo-x", heads={name: value}, files={"zoo_x.py": "raise SystemExit('imported')"})
    (found,) = (p for p in installed("head") if p.owner == "zoo-x")
    assert found.name.isprintable() and found.target.isprintable()
    with pytest.raises(PluginError) as caught:
        found.load()
    assert str(caught.value) == f"head '{found.name}' of zoo-x 1.0: {fault}"


@pytest.mark.parametrize("value", ["zoo_x : head", "zoo_x:head [extra]", " zoo_x:head[a,b]"])
def test_spaces_and_extras_of_an_entry_point_do_not_count(install, value):
    install("zoo-x", heads={"x": value}, files={"zoo_x.py": HEAD})
    assert find("head", "x").target == "zoo_x:head"


META = "class Meta(type):\n    def __getattr__(cls, name): raise RuntimeError(name)\n"


def test_a_class_with_a_metaclass_that_raises_is_loaded_all_the_same(install):
    install("zoo-x", heads={"x": "zoo_x:Odd"}, files={"zoo_x.py": META + "class Odd(metaclass=Meta): ...\n"})
    assert find("head", "x").load().__name__ == "Odd"


RANGES = {
    ">=1,<2": "", "~=1.0": "", "==1": "", "": "", ">=1": "", "!=2": "",
    ">=2": "was written for version >=2 of", "<1": "was written for version <1 of", "==1.5": "was written for version ==1.5",
    "one": "states ZOO_CONTRACT = 'one', which is no range of versions such as '>=1,<2'",
    "1": "states ZOO_CONTRACT = '1', which is no range of versions such as '>=1,<2'",
}  # fmt: skip


@pytest.mark.parametrize("stated", RANGES)
def test_the_contract_that_a_plugin_was_written_for(install, stated):
    install("zoo-x", heads={"x": "zoo_x:head"}, files={"zoo_x.py": f"ZOO_CONTRACT = {stated!r}\n{HEAD}"})
    found = find("head", "x")
    assert found.contract == stated
    assert found.outside_contract.startswith("head 'x' of zoo-x 1.0 " + RANGES[stated] if RANGES[stated] else "")
    if RANGES[stated]:
        with pytest.raises(PluginError) as caught:
            found.load()
        assert str(caught.value) == found.outside_contract
    else:
        assert found.outside_contract == ""
        assert found.load().__module__ == "zoo_x"


def test_another_contract_says_what_to_do(install):
    install("zoo-x", heads={"x": "zoo_x:head"}, files={"zoo_x.py": "ZOO_CONTRACT = '>=2,<3'"})
    assert find("head", "x").outside_contract == (
        f"head 'x' of zoo-x 1.0 was written for version >=2,<3 of the plugin contract, but timm-zoo {zoo_version()} has "
        f"version {API_VERSION}. Bring the older of them up to date: pip install --upgrade timm-zoo zoo-x"
    )


NO = "raise SystemExit('imported')\n"


@pytest.mark.parametrize(
    ("files", "stated"),
    [
        ({"zoo_x/__init__.py": NO + "ZOO_CONTRACT = '>=1'", "zoo_x/a.py": NO}, ">=1"),
        ({"zoo_x/__init__.py": NO + "ZOO_CONTRACT = '>=1'", "zoo_x/a.py": NO + "ZOO_CONTRACT: str = '<9'"}, "<9"),
        ({"zoo_x/__init__.py": "ZOO_CONTRACT = '>=1'\nZOO_CONTRACT = '>=2'", "zoo_x/a.py": ""}, ">=2"),
        ({"zoo_x/__init__.py": "ZOO_CONTRACT = '>=' + '1'", "zoo_x/a.py": ""}, "'>=' + '1'"),
        ({"zoo_x/__init__.py": "ZOO_CONTRACT = 1", "zoo_x/a.py": ""}, "1"),
        ({"zoo_x/__init__.py": "ZOO_CONTRACT: str", "zoo_x/a.py": ""}, ""),
        ({"zoo_x/__init__.py": "def f():\n    ZOO_CONTRACT = '>=3'", "zoo_x/a.py": ""}, ""),
        ({"zoo_x/__init__.py": "ZOO_CONTRACT = (", "zoo_x/a.py": ""}, ""),
        ({"zoo_x/__init__.py": b"ZOO_CONTRACT = '\xff'", "zoo_x/a.py": ""}, ""),
        ({"zoo_x/__init__.py": "ZOO_CONTRACT = " + "-" * 9999 + "1", "zoo_x/a.py": ""}, ""),
        ({}, ""),
    ],
)
def test_where_the_contract_is_stated(install, files, stated):
    install("zoo-x", heads={"x": "zoo_x.a:head"}, files=files)
    assert find("head", "x").contract == stated


def test_the_zoos_own_modules_state_nothing():
    assert {(p.contract, p.outside_contract) for p in installed() if p.owner == OWN} == {("", "")}


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
            f"head '{name}' is registered by zoo-a 1.0 more than once (zoo_a:one and zoo_a:two); only its author can mend that. "
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
