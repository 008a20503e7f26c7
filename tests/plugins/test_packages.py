"""The packages of backbones and methods as wheels: whole, licensed, each with its entry points."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"


KINDS = {
    "zoo-classics": "backbones",
    "zoo-deformable": "backbones",
    "zoo-denoise": "methods",
    "zoo-lite": "backbones",
    "zoo-torchvision": "backbones",
}


@pytest.mark.parametrize("name", KINDS)
def test_the_wheel_is_whole(name, tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    subprocess.run(build, cwd=PLUGINS / name, check=True, capture_output=True)
    with ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
        stem = f"{name.replace('-', '_')}-0.1.0.dist-info"
        points = wheel.read(f"{stem}/entry_points.txt").decode()
        metadata = wheel.read(f"{stem}/METADATA").decode()
    modules = {str(path.relative_to(PLUGINS / name)) for path in (PLUGINS / name).rglob("*.py")}
    assert modules == {found for found in names if found.endswith(".py")}
    assert f"{stem}/licenses/LICENSE" in names
    assert "License-Expression: Apache-2.0" in metadata
    assert points.startswith(f"[zoo.{KINDS[name]}]")
