"""zoo doctor"""

import json

from zoo.environment import PACKAGES
from zoo.plugins import installed

SUBJECTS = ["versions", "device", "memory", "disk", "cache", "hub", "timm", "plugins"]


def test_a_finding_for_each_subject(zoo, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ZOO_PLUGINS", "")
    code, out, err = zoo("doctor", "--json")
    assert (code, err) == (0, "")
    found = {f["about"]: f for f in json.loads(out)}
    assert list(found) == SUBJECTS
    assert all(f["ok"] == (not f["advice"]) and f["found"] for f in found.values())
    assert [word.split()[0] for word in found["versions"]["found"].split(", ")] == ["python", *PACKAGES]
    assert found["versions"]["ok"] and found["cache"]["found"] == str(tmp_path / "cache")
    assert found["plugins"] | {"found": ""} == {"about": "plugins", "found": "", "ok": True, "advice": ""}


def test_advice_stands_below_its_finding(zoo, install, monkeypatch):
    monkeypatch.setenv("ZOO_PLUGINS", "zoo-gone")
    install("zoo-gone", heads={"gone": "zoo_gone:head"})
    code, out, _ = zoo("doctor")
    lines = out.splitlines()
    assert code == 0
    assert [line[6:].split()[0] for line in lines if not line.startswith(" ")] == SUBJECTS
    parts = [p for p in installed() if p.kind != "recipe"]
    assert lines[-2] == f"look  plugins     {len(parts)} parts of {len({p.owner for p in parts})} distributions"
    assert lines[-1] == (
        "                  head 'gone' of zoo-gone 1.0 cannot be imported (zoo_gone:head): ModuleNotFoundError: "
        "No module named 'zoo_gone'. Mend it or leave it out: pip uninstall zoo-gone"
    )
