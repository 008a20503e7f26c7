"""zoo list"""

import json
import os
import pty
import subprocess
import sys

import pytest

from zoo.config.source_ref import BUILT_IN
from zoo.plugins import locate
from zoo.verbs import listing


@pytest.mark.parametrize("kind", ["backbones", "heads", "schedules", "recipes", "losses", "optimizers"])
def test_each_kind_as_rows_and_as_json(zoo, kind):
    rows = listing.list_rows(kind)
    assert rows
    code, out, err = zoo("list", kind, "--json")
    assert (code, json.loads(out), err) == (0, rows, "")
    code, out, err = zoo("list", kind)
    assert (code, err) == (0, "")
    assert [line.split(maxsplit=2)[:2] for line in out.splitlines()] == [[r["name"], r["owner"]] for r in rows]
    assert all(line.endswith(r.get("summary", "")) for line, r in zip(out.splitlines(), rows, strict=True))


@pytest.mark.parametrize("what", ["metrics", "tasks"])
def test_metrics_and_tasks_as_rows_and_as_json(zoo, what):
    code, out, err = zoo("list", what, "--json")
    assert (code, json.loads(out), err) == (0, listing.list_rows(what), "")
    lines = zoo("list", what).out.splitlines()
    assert [line.split()[0] for line in lines] == [row["name"] for row in listing.list_rows(what)]


def test_recipes_unless_said(zoo):
    assert zoo("list") == zoo("list", "recipes")


def test_a_pattern(zoo, install):
    (row,) = zoo("list", "heads", "m?p").out.splitlines()
    assert row.startswith("mlp  timm-zoo  ")
    install("zoo-lighter", backbones={"lite0x": "zoo_lighter:lite0x"})
    lines = zoo("list", "backbones", "LITE0").out.splitlines()
    assert "lite0x                 zoo-lighter" in lines
    assert lines[-2:] == ["efficientnet_lite0     timm", "tf_efficientnet_lite0  timm"]


def test_the_header_and_the_cut_of_a_terminal():
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "zoo", "list", "heads"]
    subprocess.run(command, stdout=follower, env={**os.environ, "COLUMNS": "40"}, check=True)
    shown = os.read(leader, 10_000).decode()
    os.close(leader), os.close(follower)
    header, *rows = shown.splitlines()
    assert header.split() == ["NAME", "OWNER", "SUMMARY"]
    assert {row.split()[0] for row in rows} >= {"linear", "mlp"}
    assert all(len(row) == 40 and row.endswith("…") for row in rows)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("backbones", "xyzq"), 1, "no backbones match 'xyzq'. See them all: zoo list backbones"),
        (("recipes", "*x*y*"), 1, "no recipes match '*x*y*'. See them all: zoo list recipes"),
        (
            ("head",), 2,
            "error: unknown kind 'head'. Did you mean 'heads'? "
            "A name is looked for with its kind: zoo list backbones densenet",
        ),
        (
            ("resnet",), 2,
            f"error: unknown kind 'resnet'. There are: {', '.join(listing.COLUMNS)}. "
            "A name is looked for with its kind: zoo list backbones densenet",
        ),
    ],
)  # fmt: skip
def test_nothing_found(zoo, words, code, message):
    assert zoo("list", *words) == (code, "", f"{message}\n")


def test_the_zoos_own_sources_are_listed(zoo, monkeypatch):
    monkeypatch.setenv("ZOO_PLUGINS", "")
    code, out, err = zoo("list", "sources")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == list(BUILT_IN)
    assert "a .csv, .tsv or .jsonl file with image paths relative to it, and labels" in out
    assert zoo("list", "sources", "none", "--json") == (1, "[]\n", "")


def test_a_broken_plugin_is_listed_with_its_fault(zoo, install):
    heads = {"odd": "zoo_odd:head", "gone": "zoo_gone:head", "loud": "zoo_loud:head"}
    install("zoo-odd", heads=heads, files={"zoo_odd.py": "def head(:", "zoo_loud.py": "import os\nos._exit(3)"})
    code, out, _ = zoo("list", "heads")
    assert code == 0
    assert {
        line.split()[0]: line.partition("zoo-odd")[2].strip() for line in out.splitlines() if "zoo-odd" in line
    } == {
        "loud": "",
        "gone": "broken: head 'gone' of zoo-odd 1.0 cannot be imported (zoo_gone:head): ModuleNotFoundError: "
        "No module named 'zoo_gone'. Fix it or leave it out: pip uninstall zoo-odd",
        "odd": f"broken: head 'odd' of zoo-odd 1.0 has a syntax error: {locate('zoo_odd').origin}:1: invalid syntax",
    }
