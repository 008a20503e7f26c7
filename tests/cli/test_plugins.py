"""zoo plugins"""

import json

import pytest

FINE = "def part(groups, epochs):\n    pass\n"


@pytest.fixture
def odd(install):
    """A distribution with one sound part and every kind of fault."""
    files = {"zoo_odd.py": FINE, "zoo_typo.py": "def part(:", "zoo_boom.py": f"raise SystemExit(3)\n{FINE}"}
    targets = {"fine": "zoo_odd", "typo": "zoo_typo", "boom": "zoo_boom", "gone": "zoo_gone"}
    schedules = {name: f"{module}:part" for name, module in targets.items()}
    install("zoo-odd", schedules=schedules, recipes={"all": "zoo_odd.recipes"}, files=files)


def states(out):
    return {row["name"]: row["state"] for row in json.loads(out) if row["owner"] == "zoo-odd"}


def test_every_part_its_owner_and_its_state(zoo):
    code, out, err = zoo("plugins")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert ["backbone", "lite0", "zoo-lite0", "0.1.0", "ok"] in rows
    assert ["recipe", "shipped", "timm-zoo", "0.1.0", "ok"] in rows
    assert [row["name"] for row in json.loads(zoo("plugins", "--json").out)] == [row[1] for row in rows]


def test_faults_are_named_and_break_nothing(zoo, odd):
    code, out, err = zoo("plugins", "--json")
    assert (code, err) == (0, "")
    found = states(out)
    typo = found.pop("typo")
    assert typo.startswith("schedule 'typo' of zoo-odd 1.0 has a syntax error: ") and typo.endswith(
        ":1: invalid syntax"
    )
    assert found == {
        "fine": "ok",
        "boom": "ok",
        "gone": "module zoo_gone is missing",
        "all": "no YAML files in zoo_odd.recipes",
    }


def test_loading_finds_more(zoo, odd):
    found = states(zoo("plugins", "--load", "--json").out)
    assert (found["fine"], found["boom"]) == (
        "ok",
        "schedule 'boom' of zoo-odd 1.0 cannot be imported (zoo_boom:part): SystemExit: 3. "
        "Mend it or leave it out: pip uninstall zoo-odd",
    )


def test_the_set_can_be_narrowed(zoo, odd, monkeypatch):
    monkeypatch.setenv("ZOO_PLUGINS", "")
    assert states(zoo("plugins", "--json").out) == {}
    assert "zoo-lite0" not in zoo("plugins").out
