"""What a push publishes, and that a copy that is not the model is noticed."""

import json
import shutil
from pathlib import Path

import pytest
from finished import Finished, finished  # noqa: F401
from safetensors.torch import load_file, save_file

from zoo.config.loading import read_recipe
from zoo.errors import ModelError
from zoo.hub import download
from zoo.models.saved import load
from zoo.publishing.staging import Publication, stage, verify


@pytest.fixture
def staged(finished: Finished, tmp_path: Path) -> Publication:  # noqa: F811
    return stage(finished.folder, tmp_path / "staged", "ann/pets")


def test_a_staged_run_is_exactly_what_may_be_fetched(staged, finished):  # noqa: F811
    assert set(staged.sizes) == set(download.FILES) - {"head.safetensors"}
    assert all((staged.folder / name).stat().st_size == size for name, size in staged.sizes.items())
    assert (staged.licence, staged.plain_timm) == ("unknown", "model")
    assert json.loads((staged.folder / "preprocessor.json").read_text()) == {
        "channels": 3,
        "resize_short_side": 32,
        "center_crop": 32,
        "interpolation": "bicubic",
        "scale": 1 / 255,
        "mean": list(load(finished.folder).normalise.mean),
        "std": list(load(finished.folder).normalise.std),
        "classes": list(load(finished.folder).classes),
        "activation": "softmax",
    }


def test_paths_of_this_machine_stay_here(finished, tmp_path):  # noqa: F811
    run = tmp_path / "run"
    shutil.copytree(finished.folder, run)
    recipe = (run / "recipe.yaml").read_text()
    for key, value in {"backbone": "local-dir:/home/ann/nets/own", "source": "/home/ann/photos"}.items():
        old = next(line for line in recipe.splitlines() if line.strip().startswith(f"{key}:"))
        recipe = recipe.replace(old, f"{old.partition(':')[0]}: {value}")
    (run / "recipe.yaml").write_text(recipe)
    published = stage(run, tmp_path / "staged", "ann/pets").folder
    assert "/home" not in "".join(p.read_text() for p in published.glob("*.[ymj]*") if p.suffix != ".png")
    back = read_recipe(published / "recipe.yaml")
    assert (back.model.backbone, back.data.source) == ("local-dir:own", "photos")
    environment = json.loads((published / "environment.json").read_text())
    assert not environment.keys() & {"command", "git"}


def test_a_model_folder_without_its_run(finished, tmp_path):  # noqa: F811
    shutil.copytree(finished.folder / "model", tmp_path / "bare")
    published = stage(tmp_path / "bare", tmp_path / "staged", "")
    assert set(published.sizes) == {"config.json", "model.safetensors", "preprocessor.json", "README.md"}
    card = (published.folder / "README.md").read_text()
    assert "no measurement came with the model" in card and "![" not in card


def test_a_copy_with_other_weights_is_not_pushed(staged, finished, tmp_path):  # noqa: F811
    assert max(verify(staged, finished.folder, tmp_path).values()) < 1e-5
    path = staged.folder / "model.safetensors"
    tensors = load_file(path)
    save_file({**tensors, "fc.bias": tensors["fc.bias"] + 1}, path)
    with pytest.raises(ModelError, match=r"gives other values for the staged copy \(by .*\); not pushed$"):
        verify(staged, finished.folder, tmp_path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(
        ModelError, match=r"^the staged copy of the model cannot be loaded in a fresh process: .* not pu"
    ):
        verify(staged, finished.folder, tmp_path)


def test_what_zoo_did_not_make_is_not_pushed(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"was not made by zoo \(config.json has no `zoo` section\)"):
        stage(tmp_path, tmp_path / "staged", "ann/pets")
