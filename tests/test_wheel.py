"""The wheel, in an environment of its own and an empty folder: recipes and samples inside, plugins beside."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def command(*words: object, folder: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "ZOO_"))}
    environment |= {"HOME": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        list(map(str, words)), cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose `venv` holds the wheels of the zoo and of zoo-lite; their dependencies come from this one."""
    folder = tmp_path_factory.mktemp("wheel")
    for project in (ROOT, ROOT / "plugins" / "zoo-lite"):
        command(
            sys.executable,
            "-m",
            "hatchling",
            "build",
            "-t",
            "wheel",
            "-d",
            folder / "dist",
            folder=_copy(project, folder),
        )
    command(sys.executable, "-m", "venv", folder / "venv", folder=folder)
    python = folder / "venv" / "bin" / "python"
    command(python, "-m", "pip", "install", "--quiet", "--no-deps", *(folder / "dist").glob("*.whl"), folder=folder)
    site = command(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=folder).strip()
    Path(site, "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    (folder / "empty").mkdir()
    return folder


def _copy(project: Path, folder: Path) -> Path:
    """The project's tracked files, so that nothing else can reach the wheel."""
    target = folder / "source" / project.name
    target.mkdir(parents=True)
    listed = subprocess.run(
        ["git", "-C", project, "ls-files", "-co", "--exclude-standard", "."], capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        if (project / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes((project / name).read_bytes())
    return target


def test_the_wheel_runs_from_an_empty_folder(installed: Path) -> None:
    zoo, empty = installed / "venv" / "bin" / "zoo", installed / "empty"
    where = command(installed / "venv" / "bin" / "python", "-c", "import zoo; print(zoo.__file__)", folder=empty)
    assert where.startswith(str(installed / "venv"))
    listed = command(zoo, "list", "recipes", folder=empty)
    assert {line.split()[0] for line in listed.splitlines()} == {p.stem for p in (ROOT / "recipes").glob("*.yaml")}
    small = ["data.limit=30", "train.epochs=2", "schedule.head_epochs=1", "data.image_size=32"]
    out = command(zoo, "finetune", "--recipe", "quickstart", *small, "--out", "run", folder=empty)
    assert out.startswith("test: 30 images, 10 classes")
    assert (empty / "run" / "metrics.json").is_file()
