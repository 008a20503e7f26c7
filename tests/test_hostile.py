"""Plugins that misbehave in every way, as real wheels that pip installed, and a zoo that goes on."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from processes import TINY, done, run

from zoo.plugins import zoo_version

GOOD = "def part(features, num_classes, *, width: int = 8):\n    'A head that works.'\n"
RED = "\x1b[31m"
MODULES = {
    "good": GOOD,
    "raises": f"raise RuntimeError('boom {RED}red\\nand more')\n{GOOD}",
    "exits": f"import sys\nsys.exit('goodbye')\n{GOOD}",
    "ends": f"import os\nos._exit(0)\n{GOOD}",
    "crashes": f"import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n{GOOD}",
    "prints": f"import os, sys\nprint('loud')\nos.write(1, b'louder')\nos.system('echo loudest')\n{GOOD}",
    "sleeps": f"import time\ntime.sleep(3600)\n{GOOD}",
    "lingers": f"import threading, time\nthreading.Thread(target=time.sleep, args=(3600,)).start()\n{GOOD}",
    "lacks": f"import nothing_of_this_name\n{GOOD}",
    "typo": "def part(features, num_classes:\n",
    "future": f"ZOO_CONTRACT = '>=2,<3'\n{GOOD}",
    "vague": f"ZOO_CONTRACT = 'soon'\n{GOOD}",
    "data": "part = {'a': 1}\n",
    "renamed": "def another(features, num_classes): ...\n",
    "meta": "class Meta(type):\n    def __getattr__(cls, name): raise RuntimeError(name)\nclass part(metaclass=Meta): ...\n",
}
"""Name of the part -> its module `zoo_NAME`, of the distribution zoo-NAME."""
HEADS = {name: {name: f"zoo_{name}:part"} for name in MODULES} | {
    "gone": {"gone": "zoo_gone:part"},
    "garbled": {"halved": "zoo_good:", "two words": "zoo_good:part", f"{RED}red": "zoo_good:part"},
    "first": {"both": "zoo_good:part"},
    "second": {"both": "zoo_good:part"},
}
STATES = {
    **dict.fromkeys(("good", "prints", "lingers", "meta"), "ok"),
    **dict.fromkeys(("future", "vague"), "outside-contract"),
    **dict.fromkeys(("raises", "exits", "ends", "crashes", "sleeps", "lacks", "typo", "data", "renamed"), "failed"),
    **dict.fromkeys(("gone", "halved", "two words", "\\x1b[31mred"), "failed"),
    "both": "clash",
    "resnet18": "clash",
}
MEND = "Fix it or leave it out: pip uninstall zoo-"


def wheel(folder: Path, name: str, files: dict[str, str], **groups: dict[str, str]) -> Path:
    """A wheel of the distribution zoo-NAME."""
    info = f"zoo_{name}-1.0.dist-info"
    points = "\n".join(f"[zoo.{g}]\n" + "".join(f"{k} = {v}\n" for k, v in p.items()) for g, p in groups.items())
    meta = f"Metadata-Version: 2.1\nName: zoo-{name}\nVersion: 1.0\n"
    tag = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    held = {**files, f"{info}/METADATA": meta, f"{info}/WHEEL": tag, f"{info}/entry_points.txt": points}
    record = "".join(f"{path},,\n" for path in [*held, f"{info}/RECORD"])
    path = folder / f"zoo_{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**held, f"{info}/RECORD": record}.items():
            archive.writestr(file, text)
    return path


def pip_install(site: Path, wheels: list[Path]) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*command, "--target", site, *wheels], check=True, timeout=300)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all of them, installed by pip."""
    folder = tmp_path_factory.mktemp("hostile")
    wheels = [
        wheel(folder, name, {f"zoo_{name}.py": MODULES[name]} if name in MODULES else {}, heads=heads)
        for name, heads in HEADS.items()
    ]
    recipe = {"zoo_recipes/needy.yaml": TINY.replace("name: linear", "name: raises").replace(", dropout: 0.1", "")}
    wheels.append(wheel(folder, "recipes", recipe, recipes={"all": "zoo_recipes"}))
    wheels.append(wheel(folder, "borrows", {}, backbones={"resnet18": "zoo_good:part"}))
    pip_install(folder / "site", wheels)
    return folder / "site"


@pytest.fixture
def variables(site: Path) -> dict[str, str]:
    """All hostile distributions, and no others: theirs is the time limit."""
    owners = ",".join(f"zoo-{name}" for name in [*HEADS, "recipes", "borrows"])
    return {"PYTHONPATH": str(site), "ZOO_PLUGINS": owners, "ZOO_PLUGIN_TIMEOUT_S": "10"}


def test_help_is_the_same_with_them(variables: dict[str, str]) -> None:
    assert done("--help", **variables).stdout == done("--help").stdout


def test_heads_are_listed(variables: dict[str, str]) -> None:
    result = done("list", "heads", **variables)
    assert result.stdout.isascii() and "\x1b" not in result.stdout
    lines = result.stdout.splitlines()
    for owner, heads in HEADS.items():
        for name in heads:
            shown = name.replace(RED, "\\x1b[31m")
            assert any(line.startswith(f"{shown} ") and f"  zoo-{owner}" in line for line in lines)
    assert next(line for line in lines if line.startswith("good ")).endswith("  A head that works.")
    assert {line.split()[0] for line in lines if "broken: " in line} == {
        "future", "vague", "typo", "gone", "halved", "two", "\\x1b[31mred",
    }  # fmt: skip
    assert any(line.split()[:2] == ["linear", "timm-zoo"] for line in lines)


@pytest.fixture(scope="module")
def states(site: Path) -> list[dict[str, str]]:
    """What `zoo plugins --json` says of them."""
    owners = ",".join(f"zoo-{name}" for name in [*HEADS, "recipes", "borrows"])
    result = done("plugins", "--json", PYTHONPATH=str(site), ZOO_PLUGINS=owners, ZOO_PLUGIN_TIMEOUT_S="10")
    assert result.stderr == ""
    return json.loads(result.stdout)


def test_every_state_is_told(states: list[dict[str, str]]) -> None:
    assert {row["name"]: row["state"] for row in states if row["owner"] != "timm-zoo"} == {**STATES, "all": "ok"}
    assert {row["state"] for row in states if row["owner"] == "timm-zoo"} == {"ok"}
    assert all((row["state"] == "ok") == (row["error"] == "") for row in states)


ERRORS = {
    "raises": f"RuntimeError: boom \\x1b[31mred. {MEND}raises",
    "exits": f"SystemExit: goodbye. {MEND}exits",
    "ends": f"it ended the process with exit code 0. {MEND}ends",
    "crashes": f"it was ended by SIGSEGV. {MEND}crashes",
    "sleeps": "it took longer than 10 s. Wait longer with ZOO_PLUGIN_TIMEOUT_S=SECONDS",
    "lacks": "it needs the module 'nothing_of_this_name', which is not installed. Try: pip install nothing_of_this_name",
    "gone": f"ModuleNotFoundError: No module named 'zoo_gone'. {MEND}gone",
    "renamed": f"AttributeError: module 'zoo_renamed' has no attribute 'part'. {MEND}renamed",
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_cannot_be_imported_says_who_and_why(states: list[dict[str, str]], name: str) -> None:
    (row,) = (row for row in states if row["name"] == name)
    assert row["error"] == f"head '{name}' of zoo-{name} 1.0 cannot be imported (zoo_{name}:part): {ERRORS[name]}"


def test_clashes_say_how_to_name_one(states: list[dict[str, str]]) -> None:
    errors = {row["name"]: row["error"] for row in states if row["state"] == "clash"}
    assert errors == {
        "both": "head 'both' is registered by zoo-first 1.0 and zoo-second 1.0. Say which: zoo-first:both, zoo-second:both",
        "resnet18": "backbone 'resnet18' is registered by zoo-borrows 1.0 and by timm. "
        "Say which: zoo-borrows:resnet18, timm:resnet18",
    }


def test_the_table_writes_no_escapes(variables: dict[str, str]) -> None:
    narrow = {**variables, "ZOO_PLUGINS": "zoo-raises,zoo-prints,zoo-garbled"}
    result = done("plugins", **narrow)
    assert "\x1b" not in result.stdout and "loud" not in result.stdout and result.stderr == ""
    assert "\\x1b[31mred" in result.stdout


NEEDS = {
    "typo": "head 'typo' of zoo-typo 1.0 has a syntax error: SITE/zoo_typo.py:1: '(' was never closed",
    "gone": f"head 'gone' of zoo-gone 1.0 cannot be imported (zoo_gone:part): {ERRORS['gone']}",
    "renamed": f"head 'renamed' of zoo-renamed 1.0 cannot be imported (zoo_renamed:part): {ERRORS['renamed']}",
    "data": "head 'data' of zoo-data 1.0: zoo_data:part is a dict, but the contract asks for something that can be called",
    "future": f"head 'future' of zoo-future 1.0 was written for version >=2,<3 of the plugin contract, but timm-zoo "
    f"{zoo_version()} has version 1. Bring the older of them up to date: pip install --upgrade timm-zoo zoo-future",
    "vague": "head 'vague' of zoo-vague 1.0 states ZOO_CONTRACT = 'soon', which is not a range of versions such as '>=1,<2'",
    "halved": "head 'halved' of zoo-garbled 1.0: its entry point is 'zoo_good:', but must read "
    'halved = "module:attribute"',
    "both": "head 'both' is registered by zoo-first 1.0 and zoo-second 1.0. Say which: zoo-first:both, zoo-second:both",
    "os:system": "unknown head 'os:system'. See them all: zoo list heads",
    "zoo_good:part": "unknown head 'zoo_good:part'. Did you mean 'prints'? See them all: zoo list heads",
}


@pytest.mark.parametrize("name", NEEDS)
def test_a_recipe_that_needs_one_says_whose_fault_it_is(variables: dict[str, str], name: str, site: Path) -> None:
    result = run("check", "quickstart", "model.backbone=test_resnet", f"model.head={name}", **variables)
    fault = NEEDS[name].replace("SITE", str(site))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"error: command line: model.head.name: {fault}\n"


def test_training_says_so_too(variables: dict[str, str], tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(TINY)
    result = run("finetune", "--recipe", recipe, "model.head=exits", "--out", tmp_path / "run", **variables)
    fault = f"head 'exits' of zoo-exits 1.0 cannot be imported (zoo_exits:part): {ERRORS['exits']}"
    assert (result.returncode, result.stdout, result.stderr) == (1, "", f"error: {fault}\n")
    assert not (tmp_path / "run").exists()


def test_a_recipe_that_needs_none_is_untouched(variables: dict[str, str], tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(TINY)
    assert done("check", recipe, **variables).stdout == f"{recipe}: no faults\n"
    done(
        "finetune",
        "--recipe",
        recipe,
        "schedule=none",
        "train.epochs=1",
        "data.limit=30",
        "--out",
        tmp_path / "run",
        **variables,
    )
    assert (tmp_path / "run" / "metrics.json").is_file()


def test_a_name_of_the_zoos_own_is_asked_for_by_owner(tmp_path: Path) -> None:
    """Even by a recipe of the zoo's own; narrowing the set settles it at once."""
    pip_install(
        tmp_path / "site", [wheel(tmp_path, "claims", {"zoo_claims.py": GOOD}, heads={"linear": "zoo_claims:part"})]
    )
    variables = {"PYTHONPATH": str(tmp_path / "site")}
    result = run("check", "quickstart", "model.backbone=test_resnet", **variables)
    assert result.returncode == 2
    assert result.stderr.endswith(
        f"model.head.name: head 'linear' is registered by timm-zoo {zoo_version()} and zoo-claims 1.0. "
        "Say which: timm-zoo:linear, zoo-claims:linear\n"
    )
    for way in (["model.head=timm-zoo:linear"], ["model.head=zoo-claims:linear"]):
        done("check", "quickstart", "model.backbone=test_resnet", *way, **variables)
    done("check", "quickstart", "model.backbone=test_resnet", ZOO_PLUGINS="nobody", **variables)


def test_a_file_in_the_folder_is_no_plugin(tmp_path: Path) -> None:
    (tmp_path / "zoo_here.py").write_text("open('imported', 'w')\n" + GOOD)
    (tmp_path / "mine.yaml").write_text(TINY.replace("name: linear", "name: zoo_here:part"))
    result = subprocess.run(
        [sys.executable, "-m", "zoo", "check", "mine.yaml"],
        cwd=tmp_path,
        env=os.environ,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert "unknown head 'zoo_here:part'" in result.stderr
    assert not (tmp_path / "imported").exists()
