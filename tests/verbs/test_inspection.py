"""Every part is imported in a process of its own, and what it does there is told."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.config.loading import parse_recipe
from zoo.plugins import Plugin, installed
from zoo.verbs.inspection import faults, inspect, recipe_faults

PART = "def part(groups, epochs): ...\n"


def found(owner: str = "zoo-odd") -> dict[str, str]:
    """Name -> fault, without the beginning that all have."""
    result = faults([p for p in installed("schedule") if p.owner == owner])
    assert all(
        not text or text.startswith(f"{part} cannot be imported ({part.target}): ") for part, text in result.items()
    )
    return {part.name: text.partition("): ")[2] for part, text in result.items()}


MEND = "Fix it or leave it out: pip uninstall zoo-odd"
DIE = "import os, signal\n"


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("", ""),
        ("print('loud')\n", ""),
        ("import warnings\nwarnings.warn('old')\n", ""),
        ("import threading, time\nthreading.Thread(target=time.sleep, args=(3600,)).start()\n", ""),
        ("import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(5)'])\n", ""),
        ("import atexit, os\natexit.register(os._exit, 3)\n", ""),
        ("input()\n", f"EOFError: EOF when reading a line. {MEND}"),
        ("raise KeyboardInterrupt\n", f"KeyboardInterrupt. {MEND}"),
        ("raise ValueError('one\\ntwo')\n", f"ValueError: one. {MEND}"),
        (DIE + "os._exit(0)\n", f"it ended the process with exit code 0. {MEND}"),
        (DIE + "os._exit(7)\n", f"it ended the process with exit code 7. {MEND}"),
        (DIE + "os.kill(os.getpid(), signal.SIGSEGV)\n", f"it was ended by SIGSEGV. {MEND}"),
        (DIE + "os.kill(os.getpid(), signal.SIGKILL)\n", f"it was ended by SIGKILL. {MEND}"),
        (DIE + "os.closerange(3, 99)\n", f"it ended the process with exit code 1. {MEND}"),
    ],
)  # fmt: skip
def test_what_an_import_does(install: Callable, source: str, fault: str) -> None:
    install("zoo-odd", schedules={"x": "zoo_odd:part"}, files={"zoo_odd.py": source + PART})
    assert found() == {"x": fault}
    assert "zoo_odd" not in sys.modules


def test_the_parts_around_a_fatal_one_are_imported_too(install: Callable) -> None:
    files = {f"zoo_{n}.py": PART for n in "ace"} | {f"zoo_{n}.py": "import os\nos._exit(3)" for n in "bd"}
    install("zoo-odd", schedules={n: f"zoo_{n}:part" for n in "abcde"}, files=files)
    fatal = f"it ended the process with exit code 3. {MEND}"
    assert found() == {"a": "", "b": fatal, "c": "", "d": fatal, "e": ""}


def test_who_takes_too_long_is_not_waited_for(install: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_PLUGIN_TIMEOUT_S", "5")
    files = {"zoo_a.py": PART, "zoo_b.py": "import time\ntime.sleep(3600)"}
    install("zoo-odd", schedules={"a": "zoo_a:part", "b": "zoo_b:part", "c": "zoo_a:part"}, files=files)
    install("zoo-fine", schedules={"fine": "zoo_a:part"})
    slow = "it took longer than 5 s. Wait longer with ZOO_PLUGIN_TIMEOUT_S=SECONDS"
    assert found() == {"a": "", "b": slow, "c": slow}
    assert found("zoo-fine") == {"fine": ""}


def test_a_module_that_lies_in_this_folder_is_not_imported(
    install: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "zoo", "zoo_odd"):
        (tmp_path / f"{name}.py").write_text("import os\nos._exit(9)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    install("zoo-odd", schedules={"x": "zoo_odd:part"}, files={"zoo_odd.py": PART})
    assert found() == {"x": ""}


def test_the_zoos_own_parts_are_taken_as_they_are() -> None:
    own = [p for p in installed() if p.owner == "timm-zoo"]
    assert set(faults(own).values()) == {""}
    assert faults([]) == {}


def rows(owner: str) -> dict[str, dict[str, str]]:
    return {row["name"]: row for row in inspect() if row["owner"] == owner}


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_PLUGINS", "zoo-odd,zoo-more")


def test_clashes_with_timm_with_others_and_with_itself(install: Callable, narrow: None) -> None:
    files = {
        "zoo_odd.py": "def part(): ...\ndef other(): ...\n",
        "zoo_odd_recipes/pets.yaml": "{}",
        "zoo_more_recipes/pets.yaml": "{}",
    }
    odd = {
        "heads": {"x": "zoo_odd:part"},
        "backbones": {"resnet18": "zoo_odd:part"},
        "optimizers": {"sgd": "zoo_odd:part"},
    }
    info = install("zoo-odd", files=files, recipes={"all": "zoo_odd_recipes"}, **odd) / "zoo_odd-1.0.dist-info"
    with (info / "entry_points.txt").open("a") as points:
        points.write("[zoo.losses]\ntwice = zoo_odd:part\ntwice = zoo_odd:other\n")
    install("zoo-more", heads={"x": "zoo_odd:part"}, recipes={"all": "zoo_more_recipes"})
    installed.cache_clear()
    found = rows("zoo-odd")
    assert {name: row["state"] for name, row in found.items()} == dict.fromkeys(found, "clash")
    assert set(found) == {"resnet18", "x", "all", "sgd", "twice"}
    assert "is registered by zoo-odd 1.0 more than once (zoo_odd:other and zoo_odd:part)" in found["twice"]["error"]
    assert found["x"]["error"].endswith("Say which: zoo-more:x, zoo-odd:x")
    assert found["resnet18"]["error"].endswith("Say which: zoo-odd:resnet18, timm:resnet18")
    assert found["all"]["error"].endswith("Say which: zoo-more:pets, zoo-odd:pets")
    assert rows("zoo-more")["x"]["state"] == "clash"


def test_a_distribution_that_cannot_be_read_has_a_row(install: Callable, narrow: None) -> None:
    info = install("zoo-odd") / "zoo_odd-1.0.dist-info"
    (info / "entry_points.txt").write_bytes(b"[zoo.heads]\n\xff")
    installed.cache_clear()
    *_, last = inspect()
    assert (last["name"], last["state"]) == ("", "failed")
    assert last["error"].startswith(f"the metadata in {info} cannot be read: UnicodeDecodeError: ")


def test_what_a_recipe_needs(install: Callable) -> None:
    install(
        "zoo-odd", heads={"boom": "zoo_odd:part"}, files={"zoo_odd.py": "def part(features, num_classes): ...\n1 / 0"}
    )
    text = "{model: {backbone: resnet18, head: HEAD}, data: {source: x}}"
    assert recipe_faults(parse_recipe(text.replace("HEAD", "mlp"), "x.yaml")) == []
    assert recipe_faults(parse_recipe(text.replace("HEAD", "boom"), "x.yaml")) == [
        "head 'boom' of zoo-odd 1.0 cannot be imported (zoo_odd:part): ZeroDivisionError: division by zero. "
        "Fix it or leave it out: pip uninstall zoo-odd"
    ]


def test_a_plugin_is_what_it_says() -> None:
    part = Plugin("head", "x", "zoo-x", "1.0", "zoo_x:deep.part")
    assert (str(part), part.full_name, part.module) == ("head 'x' of zoo-x 1.0", "zoo-x:x", "zoo_x")
