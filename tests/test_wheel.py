"""The wheel, in an environment of its own and an empty folder: recipes and samples inside, plugins beside."""

import sys
import sysconfig
from pathlib import Path

import pytest
from wheels import ROOT, command, copied


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
            folder=copied(project, folder),
        )
    command(sys.executable, "-m", "venv", folder / "venv", folder=folder)
    python = folder / "venv" / "bin" / "python"
    command(python, "-m", "pip", "install", "--quiet", "--no-deps", *(folder / "dist").glob("*.whl"), folder=folder)
    site = command(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=folder).strip()
    Path(site, "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    (folder / "empty").mkdir()
    return folder


def test_the_wheel_runs_from_an_empty_folder(installed: Path) -> None:
    zoo, empty = installed / "venv" / "bin" / "zoo", installed / "empty"
    where = command(installed / "venv" / "bin" / "python", "-c", "import zoo; print(zoo.__file__)", folder=empty)
    assert where.startswith(str(installed / "venv"))
    listed = command(zoo, "list", "recipes", folder=empty)
    assert {line.split()[0] for line in listed.splitlines()} == {p.stem for p in (ROOT / "recipes").glob("*.yaml")}
    assert command(zoo, "guide", "start", folder=empty).startswith("# Start\n")
    small = ["data.limit=30", "train.epochs=2", "schedule.head_epochs=1", "data.image_size=32"]
    out = command(zoo, "finetune", "--recipe", "quickstart", *small, "--out", "run", folder=empty)
    assert out.startswith("test: 30 images, 10 classes")
    assert (empty / "run" / "metrics.json").is_file()
