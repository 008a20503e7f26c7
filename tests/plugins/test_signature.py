import sys
from importlib.machinery import ModuleSpec

import pytest

from zoo.errors import PluginError
from zoo.plugins import Plugin, find, locate
from zoo.plugins.signature import Option, Signature, signature, summary

NO = "raise SystemExit('imported')\n"
"""A module that starts so shows that it was only read."""


def of(kind: str, target: str) -> Signature:
    return signature(Plugin(kind, "x", "zoo-x", "1.0", target))


def test_the_zoos_own_parts():
    assert signature(find("schedule", "none")).options == ()
    assert signature(find("schedule", "gradual")).options == (
        Option("epochs_per_group", "int", "1"),
        Option("lr_decay", "float", "1.0"),
    )
    assert signature(find("schedule", "gradual")).doc.startswith("Unfreeze one more group every few epochs")
    assert signature(find("head", "linear")).options == (Option("dropout", "float", "0.0"),)


@pytest.mark.parametrize(
    ("kind", "source", "options", "is_open", "doc"),
    [
        ("head", NO + "def part(features, num_classes): 'A head.'", [], False, "A head."),
        (
            "head",
            NO + "def part(features, num_classes, a, b: 'int | None' = None, *, c: str = 'x', d): ...",
            [("a", "", "..."), ("b", "'int | None'", "None"), ("c", "str", "'x'"), ("d", "", "...")],
            False,
            "",
        ),
        (
            "head",
            NO + "class part:\n    'A class.'\n    def __init__(self, features, num_classes, a: int = 1, **k): ...",
            [("a", "int", "1")],
            True,
            "A class.",
        ),
        ("backbone", NO + "def part(*, pretrained, in_chans=3, a=1, **k): ...", [("a", "", "1")], True, ""),
        ("backbone", NO + "def part(*, pretrained, epochs=3): ...", [("epochs", "", "3")], False, ""),
        ("schedule", NO + "def part(groups, epochs, /, a=1): ...", [("a", "", "1")], False, ""),
        ("adapter", NO + "def part(backbone, rank: int = 8): ...", [("rank", "int", "8")], False, ""),
        ("loss", NO + "def part(*, label_smoothing=0.0, gamma=2.0): ...", [("gamma", "", "2.0")], False, ""),
        ("optimizer", NO + "def part(params, *, lr, weight_decay, beta=0.9): ...", [("beta", "", "0.9")], False, ""),
        ("source", NO + "def part(year: int): ...", [("year", "int", "...")], False, ""),
        ("head", NO + "def part(): 'A \\x1b[31mred head.\\n\\nMore.'", [], False, "A \\x1b[31mred head.\n\nMore."),
        # what the source does not show is imported
        (
            "schedule",
            "def plain(groups, epochs, a: int = 1, *more, b): 'Doc.'\npart = plain",
            [("a", "int", "1"), ("b", "", "...")],
            False,
            "Doc.",
        ),
        (
            "schedule",
            "from functools import partial\ndef plain(groups, epochs, a=1, b=2): ...\npart = partial(plain, b=3)",
            [("a", "", "1"), ("b", "", "3")],
            False,
            None,
        ),
        (
            "head",
            "class Base:\n    def __init__(self, features, num_classes, a=1): ...\nclass part(Base):\n    'Its own.'",
            [("a", "", "1")],
            False,
            "Its own.",
        ),
        (
            "schedule",
            "from functools import wraps\ndef mark(f):\n    @wraps(f)\n    def g(*a, **k): ...\n    return g\n"
            "@mark\ndef part(groups, epochs, a: 'int' = 1): ...",
            [("a", "int", "1")],
            False,
            "",
        ),
        ("head", "part = dict", [], True, None),  # written in C: it has no signature
    ],
)
def test_options(install, kind, source, options, is_open, doc):
    install("zoo-x", files={"zoo_x.py": source})
    found = of(kind, "zoo_x:part")
    assert found.options == tuple(Option(*o) for o in options)
    assert found.open == is_open
    assert doc is None or found.doc == doc


SOURCES = {
    "plain": NO + "def part(groups, epochs, é=1): ...",
    "latin": b"# coding: latin-1\ndef part(groups, epochs, \xe9=1): ...",
}


@pytest.mark.parametrize("name", SOURCES)
def test_sources_may_declare_their_encoding(install, name):
    install("zoo-x", files={"zoo_x.py": SOURCES[name]})
    assert of("schedule", "zoo_x:part").options == (Option("é", "", "1"),)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\ndef part(:\n", r"zoo_x\.py:2: invalid syntax$"),
        (b"x = '\xe9'\n", r"zoo_x\.py:1: \(unicode error\) 'utf-8' codec can't decode byte 0xe9"),
        ("x = 1\0", r"zoo_x(\.py)?:1: source code string cannot contain null bytes$"),
    ],
)
def test_a_syntax_error(install, source, message):
    site = install("zoo-x", files={"zoo_x.py": source})
    with pytest.raises(PluginError, match=rf"^head 'x' of zoo-x 1\.0 has a syntax error: ({site}/)?{message}"):
        of("head", "zoo_x:part")


@pytest.mark.parametrize("target", ["zoo_gone:part", "zoo_x:prat", "zoo_x.deep:part"])
def test_what_is_not_there(install, target):
    install("zoo-x", files={"zoo_x.py": "def part(): ..."})
    with pytest.raises(PluginError, match=rf"^head 'x' of zoo-x 1\.0 cannot be imported \({target}\): "):
        of("head", target)


META = "class Meta(type):\n    @property\n    def __signature__(cls): raise RuntimeError('no')\n"
DEFAULT = "class Odd:\n    def __repr__(self): raise RuntimeError('no')\n"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (META + "class Part(metaclass=Meta): ...\npart = Part", "RuntimeError: no"),
        (DEFAULT + "def plain(a=Odd()): ...\npart = plain", "RuntimeError: no"),
        ("part = lambda: 0\npart.__signature__ = 3", "TypeError: unexpected object 3 in __signature__ attribute"),
    ],
)
def test_options_that_cannot_be_read(install, source, reason):
    install("zoo-x", files={"zoo_x.py": source})
    with pytest.raises(PluginError) as caught:
        of("head", "zoo_x:part")
    assert str(caught.value) == f"head 'x' of zoo-x 1.0: its options cannot be read: {reason}"


@pytest.mark.parametrize(
    ("source", "target", "fault"),
    [
        ("ZOO_CONTRACT = '>=2'\n" + NO, "zoo_x:part", "head 'x' of zoo-x 1.0 was written for version >=2 of "),
        (NO, "zoo_x:", "head 'x' of zoo-x 1.0: its entry point is 'zoo_x:'"),
        ("def part(:", "zoo_x:part", "head 'x' of zoo-x 1.0 has a syntax error: "),
        (NO, "zoo_gone:part", "head 'x' of zoo-x 1.0 cannot be imported (zoo_gone:part): "),
    ],
)
def test_what_is_wrong_is_seen_without_an_import(install, source, target, fault):
    install("zoo-x", files={"zoo_x.py": source})
    for read in (signature, summary):
        with pytest.raises(PluginError) as caught:
            read(Plugin("head", "x", "zoo-x", "1.0", target))
        assert str(caught.value).startswith(fault)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (NO + "def part():\n    'A head.\\n\\nMore.'", "A head."),
        (NO + "def part(): ...", ""),
        (NO + "part = make()", ""),
        (NO + "part = " + "-" * 9999 + "1", ""),  # deeper than Python parses
        (b"\xff\xfe", None),
    ],
)
def test_a_summary_is_never_worth_an_import(install, source, text):
    install("zoo-x", files={"zoo_x.py": source})
    plugin = Plugin("head", "x", "zoo-x", "1.0", "zoo_x:part")
    if text is None:
        with pytest.raises(PluginError, match="has a syntax error"):
            summary(plugin)
    else:
        assert summary(plugin) == text


def test_modules_of_other_finders_are_located(monkeypatch, tmp_path):
    class Editable:
        """As an editable install puts it there: it knows where one module is."""

        @staticmethod
        def find_spec(name, path=None, target=None):
            return ModuleSpec(name, None, origin=str(tmp_path / "x.py")) if name == "zoo_far" else None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, object(), Editable])
    assert locate("zoo_far").origin == str(tmp_path / "x.py")
    assert locate("zoo_farther") is locate("zoo_far.deep") is None


def test_modules_are_located_without_importing_their_parents(install):
    files = {"zoo_x/__init__.py": NO, "zoo_x/sub/part.py": NO, "zoo_x/sub/deep/__init__.py": NO}
    site = install("zoo-x", files=files)
    assert locate("zoo_x").origin == f"{site}/zoo_x/__init__.py"
    assert list(locate("zoo_x.sub").submodule_search_locations) == [f"{site}/zoo_x/sub"]  # without __init__.py
    assert locate("zoo_x.sub.part").origin == f"{site}/zoo_x/sub/part.py"
    assert locate("zoo_x.sub.deep").origin == f"{site}/zoo_x/sub/deep/__init__.py"
    assert locate("zoo_x.gone") is locate("zoo_x.sub.part.more") is locate("zoo_gone.sub") is None


TWO = Signature((Option("hidden", "int", "..."), Option("rate", "float | None", "None")), False, "")


@pytest.mark.parametrize(
    ("options", "given", "faults"),
    [
        (TWO, {"hidden": 1}, []),
        (TWO, {"hidden": 1, "rate": 2}, []),
        (TWO, {"hidden": 1, "rate": None}, []),
        (TWO, {}, [("hidden", "head 'x' needs this option")]),
        (TWO, {"hidden": 1.0}, [("hidden", "expected int, found 1.0")]),
        (
            TWO,
            {"hidden": True, "rate": "a"},
            [("hidden", "expected int, found True"), ("rate", "expected float | None, found 'a'")],
        ),
        (
            TWO,
            {"hiden": 1},
            [
                ("hiden", "unknown option of head 'x' (has: hidden, rate). Did you mean 'hidden'?"),
                ("hidden", "head 'x' needs this option"),
            ],
        ),
        (Signature((), False, ""), {"a": 1}, [("a", "unknown option of head 'x' (it has none).")]),
        (Signature((), True, ""), {"a": 1}, []),
        (Signature((Option("a", "list[int]", "..."), Option("b", "", "1")), False, ""), {"a": 1, "b": "x"}, []),
        (Signature((Option("a", "bool", "..."),), False, ""), {"a": 1}, [("a", "expected bool, found 1")]),
        (Signature((Option("a", "str", "..."),), False, ""), {"a": None}, [("a", "expected str, found None")]),
    ],
)
def test_faults(options, given, faults):
    assert options.faults("head 'x'", given) == faults
