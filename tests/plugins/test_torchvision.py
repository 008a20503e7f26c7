"""zoo-torchvision: torchvision's arithmetic under timm's interface, and torchvision's weights by name."""

import hashlib
import io
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from small import images
from torch import nn
from torchvision.models import get_model_weights
from zoo_torchvision import alexnet, googlenet, published, shufflenet, squeezenet

from zoo.errors import ModelError

PARAMETERS = {
    "alexnet": 61_100_840,
    "googlenet": 6_624_904,
    "squeezenet1_0": 1_248_424,
    "squeezenet1_1": 1_235_496,
    "shufflenet_v2_x0_5": 1_366_792,
    "shufflenet_v2_x1_0": 2_278_604,
    "shufflenet_v2_x1_5": 3_503_624,
    "shufflenet_v2_x2_0": 7_393_996,
}
LAYOUTS = {"alexnet": alexnet.LAYOUT, "googlenet": googlenet.LAYOUT}
LAYOUTS |= {f"squeezenet{version}": layout for version, layout in squeezenet.LAYOUTS.items()}
LAYOUTS |= {f"shufflenet_v2_{width}": layout for width, layout in shufflenet.LAYOUTS.items()}
every = pytest.mark.parametrize("name", PARAMETERS)


def theirs(name: str) -> nn.Module:
    """torchvision's model with random weights and statistics."""
    torch.manual_seed(0)
    auxiliary = {"aux_logits": True, "init_weights": False} if name == "googlenet" else {}
    model = torchvision.models.get_model(name, **auxiliary)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    return model.eval()


def ours(name: str, model: nn.Module, **arguments: object) -> nn.Module:
    """The model of this package, started from the weights of torchvision's."""
    overlay = {"state_dict": model.state_dict()}
    return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **arguments).eval()


@every
@pytest.mark.parametrize("size", [64, 224])
def test_the_same_weights_give_the_same_logits(name, size):
    source = theirs(name)
    model = ours(name, source)
    x = images(2, size)
    with torch.inference_mode():
        assert torch.allclose(model(x), source(x), rtol=1e-5, atol=1e-6)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]
    assert "state_dict" not in model.pretrained_cfg


@every
def test_every_tensor_finds_its_place(name):
    """One to one: only GoogLeNet's auxiliary classifiers have none."""
    source, model = theirs(name), timm.create_model(name)
    mapped = [n for n in source.state_dict() if not n.startswith("aux")]
    layout = LAYOUTS[name]
    renamed = layout.renamed(source.state_dict())
    assert sorted(renamed) == sorted(model.state_dict())
    assert len(renamed) == len(mapped)
    assert list(layout.renamed(renamed)) == list(renamed)


@every
def test_grey_input_sums_the_stem_over_colours(name):
    source = theirs(name)
    x = images(2, 64, 1)
    with torch.inference_mode():
        grey, colour = ours(name, source, in_chans=1)(x), source(x.repeat(1, 3, 1, 1))
    assert torch.allclose(grey, colour, rtol=1e-3, atol=1e-4)


def test_features_only_starts_from_the_weights_too():
    source = theirs("squeezenet1_1")
    maps = ours("squeezenet1_1", source, features_only=True, out_indices=(3,))(images(1, 64))
    assert torch.allclose(maps[0], source.features(images(1, 64)), rtol=1e-5, atol=1e-6)


@every
def test_the_input_that_the_weights_want(name):
    model = timm.create_model(name)
    cfg, weights = model.pretrained_cfg, get_model_weights(name)["IMAGENET1K_V1"]
    view = weights.transforms()
    assert cfg["url"] == weights.url
    assert cfg["input_size"][1:] == (view.crop_size[0],) * 2
    assert round(cfg["input_size"][1] / cfg["crop_pct"]) == view.resize_size[0]
    assert cfg["interpolation"] == view.interpolation.value
    if name != "googlenet":
        assert (list(cfg["mean"]), list(cfg["std"])) == (view.mean, view.std)


def test_googlenet_reads_the_pixels_that_torchvision_makes_inside():
    source = theirs("googlenet")
    source.transform_input = True
    model = ours("googlenet", source)
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    imagenet = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    own = torchvision.transforms.Normalize(model.pretrained_cfg["mean"], model.pretrained_cfg["std"])
    with torch.inference_mode():
        assert torch.allclose(model(own(pixels)), source(imagenet(pixels)), rtol=1e-4, atol=1e-5)


def test_googlenet_starts_as_torchvision_says():
    convolutions = [m.weight for m in timm.create_model("googlenet").modules() if isinstance(m, nn.Conv2d)]
    flat = torch.cat([w.flatten() for w in convolutions])
    assert float(flat.detach().std()) == pytest.approx(0.01, rel=0.01)


def test_squeezenet_pools_logits():
    with pytest.raises(ValueError, match="SqueezeNet pools logits"):
        timm.create_model("squeezenet1_0", global_pool="catavgmax")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes, str | None], str]]:
    """`serve(content)` is the address of a file whose name ends in its hash; torch's cache is empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "www"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def put(content: bytes, digest: str | None = None) -> str:
        name = f"weights-{(digest or hashlib.sha256(content).hexdigest())[:8]}.pth"
        (folder / name).write_bytes(content)
        return f"http://127.0.0.1:{server.server_port}/{name}"

    yield put
    server.shutdown()
    server.server_close()


def saved(model: nn.Module) -> bytes:
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    return buffer.getvalue()


def test_published_weights_are_fetched_once_and_checked(serve, tmp_path, capsys):
    source = theirs("squeezenet1_1")
    url = serve(saved(source))
    make = partial(timm.create_model, "squeezenet1_1", pretrained=True, pretrained_cfg_overlay={"url": url})
    x = images(1, 64)
    with torch.inference_mode():
        assert torch.allclose(make().eval()(x), source(x), atol=1e-6)
    assert make(num_classes=3)(x).shape == (1, 3)
    assert [p.name for p in (tmp_path / "torch" / "hub" / "checkpoints").iterdir()] == [Path(url).name]
    assert capsys.readouterr().out == ""


def test_another_file_than_the_published_one_is_refused(serve):
    url = serve(saved(theirs("squeezenet1_1")), "0" * 8)
    with pytest.raises(ModelError, match=r"weights-00000000.pth is not the file .* invalid hash value"):
        published.fetch(url)


class Evil:
    def __reduce__(self):
        return print, ("executed",)


def test_a_file_that_would_execute_code_is_refused(serve, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    buffer = io.BytesIO()
    torch.save({"weight": Evil()}, buffer, pickle_module=pickle)
    with pytest.raises(ModelError, match=r"is not the file .* Weights only load failed"):
        published.fetch(serve(buffer.getvalue()))
    assert "executed" not in "".join(capsys.readouterr())


def test_a_damaged_file_is_named(serve):
    with pytest.raises(ModelError, match=r"weights-\w{8}.pth is not the file"):
        published.fetch(serve(b"damaged"))


def test_a_missing_file_is_named(serve, tmp_path):
    url = serve(b"") + "x"
    with pytest.raises(
        ModelError, match=f"weights cannot be fetched from {url}: File not found. Put the file into {tmp_path}"
    ):
        published.fetch(url)


def test_nobody_listens(serve):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ModelError, match=r"Connection refused\. Put the file into .*, or try model.pretrained=false"):
        published.fetch(f"http://127.0.0.1:{port}/weights-12345678.pth")


def test_a_server_that_never_answers(serve, monkeypatch):
    monkeypatch.setattr(published, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ModelError, match="timed out"):
        published.fetch(f"http://127.0.0.1:{silent.getsockname()[1]}/weights-12345678.pth")
    assert socket.getdefaulttimeout() is None


def test_the_zoo_passes_the_sentence_on(tmp_path):
    """No network, by a proxy that nobody runs; a fresh process, as proxies are read once."""
    code = (
        "from zoo.config.recipe import Model; from zoo.models.backbone import build_backbone\n"
        "try: build_backbone(Model(backbone='squeezenet1_1'), 64)\n"
        "except Exception as error: print(f'{type(error).__name__}: {error}')"
    )
    env = {**os.environ, "HOME": str(tmp_path), "TORCH_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    start = (
        "ModelError: weights cannot be fetched from https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth: "
    )
    assert done.stdout.startswith(start)
    assert done.stdout.count("\n") == 1
