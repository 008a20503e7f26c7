"""Plugin code is imported when a part is asked for, and whatever is wrong with it is said in one line."""

import subprocess
import sys

import pytest

from zoo.contracts import API_VERSION
from zoo.errors import PluginError
from zoo.plugins import (
    OWN,
    find,
    installed,
    part,
    zoo_version,
)

HEAD = "def head(features, num_classes): ...\n"


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
        f"Fix it or leave it out: pip uninstall zoo-x"
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
    "one": "states ZOO_CONTRACT = 'one', which is not a range of versions such as '>=1,<2'",
    "1": "states ZOO_CONTRACT = '1', which is not a range of versions such as '>=1,<2'",
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
