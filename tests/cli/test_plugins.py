"""zoo plugins"""

import json

import pytest

from zoo.plugins import find_backbone, zoo_version

LITE = find_backbone("lite0")
FINE = "def part(groups, epochs):\n    pass\n"
KEYS = ["kind", "name", "owner", "version", "target", "location", "contract", "state", "error"]


@pytest.fixture(autouse=True)
def only_what_is_installed_here(monkeypatch):
    monkeypatch.setenv("ZOO_PLUGINS", f"{LITE.owner},zoo-odd")


@pytest.fixture
def odd(install):
    """A distribution with one sound part and some faults."""
    files = {
        "zoo_odd.py": f"ZOO_CONTRACT = '>=1'\n{FINE}",
        "zoo_boom.py": f"print('boom')\nraise SystemExit(3)\n{FINE}",
        "zoo_late.py": f"ZOO_CONTRACT = '>=7'\n{FINE}",
    }
    schedules = {name: f"zoo_{name}:part" for name in ("odd", "boom", "late")} | {"none": "zoo_odd:part"}
    return install("zoo-odd", schedules=schedules, recipes={"all": "zoo_odd.recipes"}, files=files)


def test_every_part_its_owner_and_its_state(zoo):
    code, out, err = zoo("plugins")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert ["backbone", "lite0", LITE.owner, LITE.version, "ok"] in [[*row[:4], row[-1]] for row in rows]
    assert ["recipe", "shipped", "timm-zoo", zoo_version(), "ok"] in rows
    listed = json.loads(zoo("plugins", "--json").out)
    assert [row["name"] for row in listed] == [row[1] for row in rows]
    assert all(list(row) == KEYS for row in listed)
    assert {row["state"] for row in listed} == {"ok"} and not any(row["error"] for row in listed)


def test_faults_are_named_and_break_nothing(zoo, odd):
    code, out, err = zoo("plugins", "--json")
    assert (code, err) == (0, "")
    found = {row["name"]: row for row in json.loads(out) if row["owner"] == "zoo-odd"}
    assert {name: (row["state"], row["contract"]) for name, row in found.items()} == {
        "odd": ("ok", ">=1"),
        "boom": ("failed", ""),
        "late": ("outside-contract", ">=7"),
        "none": ("clash", ">=1"),
        "all": ("failed", ">=1"),
    }
    assert found["odd"]["location"] == str(odd / "zoo_odd.py")
    assert found["boom"]["error"] == (
        "schedule 'boom' of zoo-odd 1.0 cannot be imported (zoo_boom:part): SystemExit: 3. "
        "Fix it or leave it out: pip uninstall zoo-odd"
    )
    clash = "schedule 'none' is registered by timm-zoo VERSION and zoo-odd 1.0. Say which: timm-zoo:none, zoo-odd:none"
    clash = clash.replace("VERSION", zoo_version())
    assert found["none"]["error"] == clash
    assert [row["error"] for row in json.loads(out) if row["name"] == "none"] == [clash, clash]
    lines = zoo("plugins").out.splitlines()
    assert [line.endswith(f"  clash: {clash}") for line in lines].count(True) == 2


def test_the_set_can_be_narrowed(zoo, odd, monkeypatch):
    monkeypatch.setenv("ZOO_PLUGINS", "")
    assert {row["owner"] for row in json.loads(zoo("plugins", "--json").out)} == {"timm-zoo"}


@pytest.mark.parametrize("limit", ["soon", "0", "-3", "nan"])
def test_a_limit_that_is_none(zoo, monkeypatch, limit):
    monkeypatch.setenv("ZOO_PLUGIN_TIMEOUT_S", limit)
    message = f"error: ZOO_PLUGIN_TIMEOUT_S: expected seconds, above 0, found '{limit}'\n"
    assert zoo("plugins") == (2, "", message)
