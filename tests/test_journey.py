"""The author's journey with real installations: a new plugin, its wheel next to the zoo's, checked, used, taken away."""

import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from wheels import ROOT, command, copied

SMALL = ("data.limit=20", "data.image_size=32", "train.epochs=2")
TUTORIAL = (ROOT / "plugins" / "README.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the zoo's wheel and this one's other packages, but none of its plugins."""

    folder: Path

    @property
    def variables(self) -> dict[str, str]:
        """What `pip` and `zoo` are told, as they have no network: packages are built and installed as they stand."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_", "ZOO_"))}
        pip = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_QUIET": "1"}
        path = f"{self.folder / 'venv' / 'bin'}{os.pathsep}{kept['PATH']}"
        return {**kept, **pip, "PATH": path, "HOME": str(self.folder), "OMP_NUM_THREADS": "1"}

    def try_(self, script: str, folder: Path) -> subprocess.CompletedProcess:
        """Shell commands, up to the first that fails."""
        bash = ["bash", "-euo", "pipefail", "-c", script]
        return subprocess.run(bash, cwd=folder, env=self.variables, capture_output=True, text=True, timeout=600)

    def do(self, script: str, folder: Path) -> str:
        """What shell commands print, all of which must succeed."""
        done = self.try_(script, folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    made = Environment(tmp_path_factory.mktemp("journey"))
    venv, beside = made.folder / "venv", made.folder / "packages"
    command(sys.executable, "-m", "venv", venv, folder=made.folder)
    beside.mkdir()
    for package in Path(sysconfig.get_path("purelib")).iterdir():
        if not re.match(r"timm_zoo|zoo_|_editable|__pycache__|pip|.*\.pth", package.name):
            (beside / package.name).symlink_to(package)
    site = made.do("python -c 'import sysconfig; print(sysconfig.get_path(\"purelib\"))'", made.folder).strip()
    Path(site, "packages.pth").write_text(str(beside))
    pytest_ = venv / "bin" / "pytest"
    pytest_.write_text(f"#!{venv}/bin/python\nimport sys, pytest\nsys.exit(pytest.main())\n")
    pytest_.chmod(0o755)
    made.do(f"pip wheel -w dist {copied(ROOT, made.folder)} && pip install dist/*.whl", made.folder)
    return made


@dataclass(frozen=True)
class New:
    """A plugin to be: what is typed after `zoo plugin new`, and what comes of it."""

    name: str
    kind: str
    part: str
    recipe: str
    missed: str
    """What a recipe that uses it says once it is gone."""

    @property
    def dist(self) -> str:
        return f"zoo-{self.part}"


NEW = (
    New("paw", "head", "paw", "fashion-mnist-paw", "model.head.name: unknown head 'paw'"),
    New("Two_Paws", "schedule", "two-paws", "fashion-mnist-two-paws", "schedule.name: unknown schedule 'two-paws'"),
    New("zoo-3d", "backbone", "3d", "fashion-mnist-3d", "model.backbone: unknown backbone '3d'"),
    New("pets", "recipe", "pets", "pets", ""),
)


@pytest.fixture(scope="module")
def plugins(environment: Environment) -> Path:
    """A folder with a new plugin of each kind, whose wheels are built and installed."""
    folder = environment.folder / "plugins"
    folder.mkdir()
    for new in NEW:
        environment.do(f"zoo plugin new {new.name} --kind {new.kind} && pip wheel -w dist ./{new.name}", folder)
    environment.do("pip install dist/*.whl", folder)
    return folder


def test_new_plugins_are_listed(environment: Environment, plugins: Path) -> None:
    rows = {(row["kind"], row["name"], row["owner"]): row for row in listed(environment, plugins)}
    for new in NEW:
        for kind in {new.kind, "recipe"}:
            row = rows[kind, new.part, new.dist]
            assert (row["version"], row["contract"], row["state"], row["error"]) == ("0.1.0", ">=1,<2", "ok", "")
            assert row["location"].startswith(str(environment.folder / "venv"))
        assert new.dist in environment.do(f"zoo list {new.kind}s {new.part}", plugins)
        assert new.recipe in environment.do(f"zoo show {new.recipe}", plugins)


def test_new_plugins_pass_the_check(environment: Environment, plugins: Path) -> None:
    told = json.loads(environment.do("zoo plugin check --json", plugins))
    assert told["ok"]
    parts = {f"{kind} '{new.part}' of {new.dist} 0.1.0" for new in NEW for kind in (new.kind, "recipe")}
    assert parts <= {point["part"] for point in told["points"]}
    assert {point["state"] for point in told["points"]} <= {"ok", "skipped"}


def test_new_plugins_pass_their_own_tests(environment: Environment, plugins: Path) -> None:
    folders = " ".join(f"{new.name}/tests" for new in NEW)
    assert re.search(r"\n=* ?\d+ passed in", environment.do(f"pytest {folders}", plugins))


def test_new_recipes_train(environment: Environment, plugins: Path) -> None:
    """Each by the command `zoo finetune`, in one process."""
    commands = [["finetune", "--recipe", new.recipe, *SMALL, "--out", f"runs/{new.part}"] for new in NEW]
    code = "import json, sys, zoo.cli; sys.exit(max(zoo.cli.main(words) for words in json.loads(sys.argv[1])))"
    environment.do(shlex.join(["python", "-c", code, json.dumps(commands)]), plugins)
    for new in NEW:
        run = plugins / "runs" / new.part
        assert (run / "metrics.json").is_file()
        used = {part["owner"] for part in json.loads((run / "environment.json").read_text())["plugins"]}
        assert new.kind == "recipe" or new.dist in used


def test_uninstalled_plugins_are_gone(environment: Environment, plugins: Path) -> None:
    for new in NEW:
        environment.do(f"zoo copy {new.recipe} {new.part}.yaml", plugins)
    environment.do(f"pip uninstall --yes {' '.join(new.dist for new in NEW)}", plugins)
    assert {row["owner"] for row in listed(environment, plugins)} == {"timm-zoo"}
    for new in NEW:
        gone = environment.try_(f"zoo finetune --recipe {new.recipe}", plugins)
        assert gone.returncode == 2 and gone.stderr.startswith(f"error: unknown recipe '{new.recipe}'.")
        kept = environment.try_(f"zoo check {new.part}.yaml", plugins)
        assert new.missed in kept.stderr and kept.returncode == (2 if new.missed else 0)


def listed(environment: Environment, folder: Path) -> list[Mapping]:
    return json.loads(environment.do("zoo plugins --json", folder))


def test_the_tutorial_as_written(environment: Environment, tmp_path: Path) -> None:
    """Every command that it shows, in order; the files that it shows are written before the second installation."""
    commands = re.findall(r"^\$ (.*)$", TUTORIAL, re.MULTILINE)
    again = [i for i, line in enumerate(commands) if line.startswith("pip install -e")][1]
    environment.do("\n".join(commands[:again]), tmp_path)
    files = re.findall(r"<!-- file plugins/zoo-tutorial/(\S+) -->\n```\w+\n(.*?)```\n<!--", TUTORIAL, re.DOTALL)
    assert len(files) == 6
    for path, text in files:
        (tmp_path / "tutorial" / path).write_text(text, encoding="utf-8")
    out = environment.do("\n".join(commands[again:]), tmp_path / "tutorial")
    assert re.search(r"prototypes .*zoo-tutorial .*0\.1\.0 .*ok", out)
    assert all((tmp_path / "tutorial" / "runs" / run / "metrics.json").is_file() for run in ("first", "second"))
    assert not [point for point in listed(environment, tmp_path) if point["owner"] == "zoo-tutorial"]
