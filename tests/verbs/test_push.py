"""Models of every kind, trained, pushed to a Hub, and used from the other side by strangers."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from finished import clothes
from hubs import Hub

import zoo
from zoo.plugins import installed

KINDS = {
    "linear": [],
    "mlp": ["model.head={name: mlp, hidden: 8}"],
    "plugin": ["model.backbone=lite0"],
    "grey": ["model.in_chans=1"],
    "lora": ["model.backbone=test_vit", "model.adapter={name: lora, rank: 2}"],
    "cut": ["model.cut=layer2"],
    "stacked": ["model.top=stack"],
    "concat": ["model.concat=[test_efficientnet]"],
}
TIMM = {"mlp": "features", "stacked": "features", "cut": "nothing", "concat": "nothing"}
"""What plain timm loads of those that it does not load whole."""
TINY = (
    *("model.backbone=test_resnet", "model.pretrained=false", "data.limit=40", "data.image_size=32"),
    *("train.epochs=1", "schedule=none"),
)
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=")  # of the Hub's client, in its own uploads
HERE = [kind for kind in KINDS if kind != "lora" or any(plugin.name == "lora" for plugin in installed("adapter"))]

STRANGER = """
import json, sys
import numpy, torch
pictures, folder, *names = sys.argv[1:]
kinds = dict(name.split("=") for name in names)
images = {kind: torch.from_numpy(numpy.load(f"{folder}/{kind}.npy")) for kind in kinds}
found = {}

import timm
for kind, how in kinds.items():
    bare = {"num_classes": 0} if how == "features" else {}
    try:
        model = timm.create_model(f"hf-hub:ann/{kind}", pretrained=True, **bare).eval()
    except Exception as error:
        found[f"timm {kind}"] = f"{type(error).__name__}: {error}"
    else:
        with torch.inference_mode():
            found[f"timm {kind}"] = model(images[kind]).tolist()
assert "zoo" not in sys.modules

import zoo
for kind in kinds:
    pulled = zoo.pull(f"ann/{kind}", f"{folder}/{kind}")
    with torch.inference_mode():
        found[f"zoo {kind}"] = zoo.load(pulled["folder"]).model(images[kind]).tolist()
    found[f"predicted {kind}"] = [line["classes"][0] for line in zoo.predict(f"hf-hub:ann/{kind}", [pictures])]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run of each kind."""
    folder = tmp_path_factory.mktemp("runs")
    return {kind: Path(zoo.finetune("quickstart", [*TINY, *KINDS[kind]], out=folder / kind)["run"]) for kind in HERE}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clothes(tmp_path_factory.getbasetemp())


@pytest.fixture
def pushed(hub: Hub, runs: dict[str, Path]) -> dict[str, dict]:
    """What `zoo.push` said of each; done once."""
    return _pushed(hub, runs)


DONE: dict[str, dict[str, dict]] = {}


def _pushed(hub: Hub, runs: dict[str, Path]) -> dict[str, dict]:
    if hub.url not in DONE:
        DONE[hub.url] = {kind: zoo.push(run, f"ann/{kind}") for kind, run in runs.items()}
    return DONE[hub.url]


@pytest.fixture
def found(hub: Hub, pushed: dict[str, dict], runs: dict[str, Path], photos: Path, tmp_path: Path) -> Iterator[dict]:
    """What a stranger's process gets from the Hub."""
    for kind, run in runs.items():
        np.save(tmp_path / f"{kind}.npy", zoo.load(run).inputs(sorted(photos.rglob("*.png"))).numpy())
    names = [f"{kind}={TIMM.get(kind, 'model')}" for kind in runs]
    done = hub.run(sys.executable, "-c", STRANGER, photos, tmp_path, *names)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_kind_of_model_is_the_same_on_the_other_side(found, pushed, runs, photos):
    for kind, run in runs.items():
        trained = zoo.load(run)
        images = trained.inputs(sorted(photos.rglob("*.png")))
        with torch.inference_mode():
            logits = trained.model(images)
            features = _features(trained.model, images) if TIMM.get(kind) == "features" else None
        assert_same(found[f"zoo {kind}"], logits)
        assert pushed[kind]["plain_timm"] == TIMM.get(kind, "model"), kind
        match TIMM.get(kind):
            case "nothing":
                assert "RuntimeError" in found[f"timm {kind}"], kind
            case "features":
                assert_same(found[f"timm {kind}"], features)
            case _:
                assert_same(found[f"timm {kind}"], logits)
        best = logits.argmax(1).tolist()
        assert [line["name"] for line in found[f"predicted {kind}"]] == [trained.classes[k] for k in best]


def _features(model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    backbone = getattr(model.backbone, "backbone", model.backbone)
    return backbone.forward_head(backbone.forward_features(images), pre_logits=True)


def assert_same(found: list, expected: torch.Tensor) -> None:
    torch.testing.assert_close(torch.tensor(found), expected, atol=1e-5, rtol=1e-4)
