"""zoo plugin check, zoo plugin new: real processes, real distributions, folders that were never installed."""

import json

import pytest

from zoo.plugins import installed

HEAD = '''
import torch
from torch import nn
from zoo.contracts import FeatureInfo

ZOO_CONTRACT = ">=1,<2"

class Paw(nn.Module):
    """A linear layer on the mean of all positions."""

    def __init__(self, features: FeatureInfo, num_classes: int) -> None:
        super().__init__()
        if features.layout != "NCHW":
            raise ValueError("reads NCHW only")
        self.classifier = nn.Linear(features.channels, num_classes)

    def forward(self, x):
        return self.classifier(x.mean((2, 3)))
'''
PLAN = '''
from zoo.contracts import Phase

ZOO_CONTRACT = ">=1,<2"

def plan(groups: tuple[str, ...], epochs: int):
    """Everything trains."""
    return (Phase(epochs, groups),)
'''
PYPROJECT = """
[project]
name = "Zoo.Paw"
version = "2.0"
license = "MIT"

[project.entry-points."zoo.heads"]
paw = "zoo_paw.head:Paw"
[project.entry-points."zoo.schedules"]
plan = "zoo_paw.plan:plan"
[project.entry-points."zoo.recipes"]
paw = "zoo_paw.recipes"
"""
RECIPE = """# paw: a trial
model: {backbone: test_resnet, pretrained: false, head: paw}
data: {source: "sample:fashion-mnist"}
schedule: plan
"""
FILES = {
    "zoo_paw/__init__.py": "",
    "zoo_paw/head.py": HEAD,
    "zoo_paw/plan.py": PLAN,
    "zoo_paw/recipes/paw.yaml": RECIPE,
}


def lay(folder, files):
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def states(out):
    """part -> point -> state."""
    told = {}
    for row in json.loads(out)["points"]:
        told.setdefault(row["part"], {})[row["point"]] = row["state"]
    return told


@pytest.mark.parametrize("layout", ["", "src/"])
def test_a_folder_is_checked_without_being_installed(zoo, tmp_path, layout):
    folder = lay(tmp_path / "paw", {"pyproject.toml": PYPROJECT, **{f"{layout}{k}": v for k, v in FILES.items()}})
    code, out, err = zoo("plugin", "check", folder, "--json")
    assert (code, json.loads(out)["ok"]) == (0, True), out
    told = states(out)
    assert told.keys() == {
        "zoo-paw 2.0", "head 'paw' of zoo-paw 2.0", "schedule 'plan' of zoo-paw 2.0", "recipe 'paw' of zoo-paw 2.0",
    }  # fmt: skip
    assert {state for points in told.values() for state in points.values()} == {"ok"}
    assert "checking head 'paw' of zoo-paw 2.0\n" in err
    assert zoo("list", "heads", "paw").code == 1  # nothing stays behind


def test_every_fault_is_one_line_and_the_code_is_1(zoo, install):
    bad = HEAD.replace("x.mean((2, 3))", "x.mean((2, 3)).detach()")
    plans = PLAN.replace("(Phase(epochs, groups),)", "[Phase(epochs, groups)]").replace('"""Everything trains."""', "")
    install(
        "zoo-paw",
        heads={"paw": "zoo_paw.head:Paw"},
        schedules={"plan": "zoo_paw.plan:plan"},
        files={**FILES, "zoo_paw/head.py": bad, "zoo_paw/plan.py": plans},
    )
    code, out, err = zoo("plugin", "check", "zoo_Paw")
    assert code == 1
    rows = [line.rsplit(maxsplit=1) for line in out.splitlines()]
    assert {row[1] for row in rows} == {"ok", "failed", "skipped"}
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert (
        "error: schedule 'plan' of zoo-paw 1.0: planning: asked: It gives a tuple of zoo.contracts.Phase for any model and "
        "run, or a ValueError that says why not. Found: it gave a list instead of a tuple for 1 groups and 1 epochs. "
        "Fix: return tuple(phases), and in each Phase what zoo.contracts says: trainable is a tuple of names."
    ) in errors
    points = {tuple(line.removeprefix("error: ").split(": ")[:2]) for line in errors}
    assert points == {
        *(("head 'paw' of zoo-paw 1.0", point) for point in ("licence", "gradients")),
        *(("schedule 'plan' of zoo-paw 1.0", point) for point in ("licence", "docstring", "planning")),
    }
    code, out, err = zoo("plugin", "check", "zoo-paw", "--json")
    assert (code, json.loads(out)["ok"]) == (1, False)
    assert "error" not in err


HOSTILE = {
    "raises": ("raise RuntimeError('no')", "importing", "RuntimeError: no"),
    "leaves": ("import sys; sys.exit(0)", "importing", "SystemExit: 0"),
    "typo": ("def plan(:", "importing", "SyntaxError"),
    "gone": (None, "importing", "No module named 'zoo_gone'"),
    "vanishes": ("import os; os._exit(0)", "end", "the process ended at the import (exit code 0)"),
    "dies": ("import os; os.kill(os.getpid(), 9)", "end", "the process ended at the import (SIGKILL)"),
    "hangs": ("import time\nwhile True: time.sleep(1)", "end", "no end within 5 s at the import"),
    "asks": ("input()", "importing", "EOFError"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_that_a_plugin_does_harms_the_check(zoo, install, name):
    source, point, text = HOSTILE[name]
    files = {} if source is None else {f"zoo_{name}.py": source}
    install(f"zoo-{name}", schedules={name: f"zoo_{name}:plan"}, files=files)
    code, out, _ = zoo("plugin", "check", f"zoo-{name}", "--json", "--timeout", 5 if name == "hangs" else 120)
    row = next(r for r in json.loads(out)["points"] if r["state"] == "failed")
    assert (code, row["point"]) == (1, point)
    assert text in row["found"]


def test_what_a_plugin_prints_does_not_reach_stdout(zoo, install):
    source = "import os\nprint('hello')\nos.write(1, b'hello')\n" + PLAN
    install("zoo-loud", schedules={"loud": "zoo_loud:plan"}, files={"zoo_loud.py": source})
    out = zoo("plugin", "check", "zoo-loud", "--json").out
    assert states(out)["schedule 'loud' of zoo-loud 1.0"]["importing"] == "ok"


def test_a_process_that_dies_late_tells_how_far_it_came(zoo, install):
    source = PLAN.replace("return (", "import os; os.abort()\n    return (")
    install("zoo-late", schedules={"late": "zoo_late:plan"}, files={"zoo_late.py": source})
    told = json.loads(zoo("plugin", "check", "zoo-late", "--json").out)["points"]
    assert told[-1]["found"].startswith("the process ended after the point 'no pickles' (SIGABRT)")


def test_without_a_name_all_that_others_installed(zoo, install, monkeypatch):
    monkeypatch.setenv("ZOO_PLUGINS", "zoo-one")
    install("zoo-one", schedules={"one": "zoo_one:plan"}, files={"zoo_one.py": PLAN})
    assert states(zoo("plugin", "check", "--json").out).keys() == {"zoo-one 1.0", "schedule 'one' of zoo-one 1.0"}
    monkeypatch.setenv("ZOO_PLUGINS", "")
    installed.cache_clear()
    code, out, err = zoo("plugin", "check")
    assert (code, out, err) == (0, "", "no plugins are installed. Make one: zoo plugin new NAME\n")


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ("timm-zo", "unknown distribution with plugins 'timm-zo'. Did you mean 'timm-zoo'? "),
        ("./nowhere", "'nowhere' has no pyproject.toml. Make a plugin: zoo plugin new NAME"),
    ],
)
def test_what_cannot_be_found(zoo, which, message):
    code, out, err = zoo("plugin", "check", which)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [("[project", "cannot be read: "), ("[project]\nversion = '1'", "has no name under [project]")],
)
def test_a_pyproject_that_cannot_be_used(zoo, tmp_path, text, message):
    lay(tmp_path, {"pyproject.toml": text})
    code, _, err = zoo("plugin", "check", tmp_path)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err


def test_entry_points_in_a_group_that_nobody_reads(zoo, tmp_path):
    text = (
        PYPROJECT.replace("zoo.heads", "zoo.head").replace("zoo.schedules", "other.plans").replace("zoo.recipes", "x")
    )
    lay(tmp_path, {"pyproject.toml": text, **FILES})
    told = [r for r in json.loads(zoo("plugin", "check", tmp_path, "--json").out)["points"] if r["state"] == "failed"]
    assert [(r["point"], r["found"], r["fix"]) for r in told] == [
        ("entry points", "the group 'zoo.head'", "Did you mean 'zoo.heads'"),
        (
            "entry points",
            "no part in any group of the zoo",
            'write [project.entry-points."zoo.heads"] with a line NAME = "MODULE:CLASS" into pyproject.toml',
        ),
    ]


@pytest.mark.parametrize("kind", ["backbone", "head", "schedule", "recipe"])
def test_a_new_plugin_passes_its_check(zoo, tmp_path, kind):
    code, out, err = zoo("plugin", "new", "whisker", "--kind", kind, "--out", tmp_path)
    folder = tmp_path / "whisker"
    *files, last = out.splitlines()
    assert (code, err) == (0, "")
    assert str(folder / "pyproject.toml") in files
    assert last == f'next: cd {folder}, pip install -e ".[test]", pytest, zoo plugin check .'
    code, out, _ = zoo("plugin", "check", folder, "--json")
    assert code == 0, out
    assert {state for points in states(out).values() for state in points.values()} <= {"ok", "skipped"}


def test_new_as_json(zoo, tmp_path):
    document = json.loads(zoo("plugin", "new", "whisker", "--out", tmp_path, "--json").out)
    assert (document["kind"], document["folder"]) == ("head", str(tmp_path / "whisker"))
    assert document["files"]
    code, out, err = zoo("plugin", "new", "whisker", "--out", tmp_path)
    assert (code, out, err.count("\n")) == (2, "", 1)
