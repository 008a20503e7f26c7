"""A model whose configuration looks harmless and does not fit its weights."""

import json
import shutil
from itertools import count
from pathlib import Path

import pytest
from finished import Finished
from hubs import Hub

import zoo
from zoo.errors import ModelError, ZooError

NUMBER = count()


def planted(hub: Hub, finished: Finished, name: str, **changes: object) -> str:
    """A repository with the finished model, its `zoo` section changed."""
    folder = hub.folder / "models" / "ann" / name
    shutil.copytree(finished.folder / "model", folder)
    config = json.loads((folder / "config.json").read_text())
    config["zoo"] |= changes
    (folder / "config.json").write_text(json.dumps(config))
    return f"ann/{name}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ["cat", "dog"]}, "does not fit its config.json: 'fc.bias' is (10,), expected (2,)"),
        ({"backbone": "timm:resnet10t"}, "does not fit its config.json: "),
        ({"backbone": "timm:vit_giant_patch14_224"}, "but its weights hold 375,"),
        ({"options": {"nothing": 1}}, "model.options.nothing: backbone 'timm:test_resnet' has no such option"),
    ],
    ids=["classes", "architecture", "giant", "option"],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(changes, message, hub, finished, tmp_path):
    name = planted(hub, finished, f"odd{next(NUMBER)}", **changes)
    with pytest.raises(ZooError) as error:
        zoo.pull(name, tmp_path / "here")
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_model_of_timms_own_is_pulled(hub, finished, tmp_path: Path):
    folder = hub.folder / "models" / "ann" / "timms"
    shutil.copytree(finished.folder / "model", folder)
    config = json.loads((folder / "config.json").read_text())
    del config["zoo"]
    (folder / "config.json").write_text(json.dumps(config))
    pulled = zoo.pull("hf-hub:ann/timms", tmp_path / "here")
    assert pulled["classes"] == list(zoo.load(finished.folder).classes)
    with pytest.raises(ModelError, match="was not made by zoo"):
        zoo.push(tmp_path / "here", dry_run=True)
