"""Models of strangers: fetched whole or not at all, and nothing is built that their weights do not bear out."""

import json
import resource
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disks import small_disk
from hubs import Hub
from safetensors.numpy import save_file

from zoo.errors import DiskFull, HubError, ModelError, RunError, UsageError
from zoo.hub.download import fetch
from zoo.hub.verify_config import check
from zoo.timm_index import cache_folder

NUMBER = count()
ABOUT = {
    "backbone": "timm:test_resnet",
    "options": {},
    "in_chans": 3,
    "head": {"name": "linear"},
    "classes": ["cat", "dog"],
    "image_size": 32,
    "crop_pct": 1.0,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.2, 0.2, 0.2],
}
CONFIG = {
    "architecture": "test_resnet",
    "num_classes": 2,
    "pretrained_cfg": {"input_size": [3, 32, 32], "crop_pct": 1.0, "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]},
}

Plant = Callable[..., str]


@pytest.fixture
def plant(hub: Hub) -> Plant:
    """plant({"config.json": ...}): the name of a new public repository with these files and a small model's."""

    def put(files: dict[str, Any] | None = None, without: tuple[str, ...] = ()) -> str:
        name = f"ann/r{next(NUMBER)}"
        write(hub.folder / "models" / name, files or {}, without)
        return name

    return put


def write(folder: Path, files: dict[str, Any], without: tuple[str, ...] = ()) -> Path:
    folder.mkdir(parents=True)
    save_file({"fc.weight": np.ones((2, 5000), np.float32)}, folder / "model.safetensors")
    for name, content in {"config.json": {**CONFIG, "zoo": ABOUT}, "README.md": "card", **files}.items():
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    for name in without:
        (folder / name).unlink()
    return folder


def test_exactly_the_files_of_a_model_arrive(plant, hub, tmp_path):
    name = plant(
        {"pytorch_model.bin": "pickle", "run.py": "code", "sub/config.json": {}, "..x": "", "recipe.yaml": "a"}
    )
    fetched = fetch(f"{name}@main", tmp_path / "here")
    assert sorted(p.name for p in fetched.folder.iterdir()) == [
        "README.md", "config.json", "model.safetensors", "recipe.yaml",
    ]  # fmt: skip
    served = hub.folder / "models" / name
    assert all(
        (fetched.folder / p.name).read_bytes() == (served / p.name).read_bytes() for p in fetched.folder.iterdir()
    )
    assert fetched.revision == hub.ask("GET", f"/api/models/{name}")[1]["sha"]
    assert list(tmp_path.iterdir()) == [tmp_path / "here"]


def test_the_cache_holds_a_commit_once_and_serves_it_without_network(plant, hub, monkeypatch):
    from huggingface_hub import constants

    name = plant()
    first = fetch(f"hf-hub:{name}")
    hub.server.log.clear()
    assert fetch(name) == first and first.folder.is_relative_to(cache_folder())
    assert [line.path for line in hub.server.log] == [f"/api/models/{name}"]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch(f"{name}@{first.revision}") == first
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set; unset it to reach the Hub"):
        fetch(name)


@pytest.mark.parametrize("name", ["pets", "ann/pets/x", "ann/pets@", "../ann", "ann/..", "ann/p s", "", "/ann", "ann/"])
def test_a_name_that_cannot_be(name, hub):
    with pytest.raises(UsageError, match=r"is no model on the Hub\. Write user/name or user/name@revision"):
        fetch(name)


def test_what_is_not_there(plant, hub):
    with pytest.raises(HubError) as error:
        fetch("ann/none")
    why = "there is no such repository, or your token may not see it"
    assert str(error.value) == f"fetching ann/none failed: {why}. Try again: zoo pull ann/none"
    name = plant()
    with pytest.raises(HubError, match=r"it has no such revision \(branch, tag or commit\)"):
        fetch(f"{name}@v9")


def test_a_folder_that_is_not_empty_is_left_alone(plant, tmp_path):
    (tmp_path / "here").mkdir()
    fetch(plant(), tmp_path / "here")
    with pytest.raises(RunError, match="here exists and is not empty; choose another --to"):
        fetch(plant(), tmp_path / "here")


@pytest.mark.parametrize("fault", ["flip", "truncate"])
@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_damage_on_the_way_is_noticed(fault, file, plant, hub, tmp_path):
    name = plant()
    hub.faults.add("GET", f"/{name}/resolve/.*/{file}", fault)
    with pytest.raises(HubError, match=rf"^{file} arrived damaged: .* Try again: zoo pull {name}$"):
        fetch(name, tmp_path / "here")
    assert not list(tmp_path.iterdir())
    fetch(name, tmp_path / "here")


@pytest.mark.parametrize("fault", ["cut", "drop"])
def test_a_cut_connection_is_tried_again_and_then_given_up(fault, plant, hub, tmp_path):
    name = plant()
    hub.faults.add("GET", "model.safetensors", fault, times=2)
    fetch(name, tmp_path / "here")
    hub.faults.add("GET", "model.safetensors", fault, times=3)
    with pytest.raises(HubError, match=f"fetching model.safetensors of {name} failed: {hub.url} cannot be reached, or"):
        fetch(name, tmp_path / "there")
    assert list(tmp_path.iterdir()) == [tmp_path / "here"]


@pytest.mark.parametrize("path", ["/api/models/", "/resolve/"])
def test_a_server_that_hangs_or_refuses(path, plant, hub, tmp_path, monkeypatch):
    name = plant()
    monkeypatch.setenv("ZOO_HUB_TIMEOUT_S", "0.5")
    hub.faults.add("GET", path, "hang")
    with pytest.raises(HubError, match=r"did not answer within 0\.5 s\. Try again: zoo pull"):
        fetch(name, tmp_path / "here")
    hub.faults.add("GET", path, "status", status=429, retry_after=7)
    with pytest.raises(HubError, match=r"too many requests; wait 7 s\. Try again: zoo pull"):
        fetch(name, tmp_path / "here")
    assert not list(tmp_path.iterdir())


def test_a_full_disk(hub, plant, tmp_path):
    name = plant()
    big = hub.folder / "models" / name
    save_file({"fc.weight": np.ones((3, 1_000_000), np.float32)}, big / "model.safetensors")
    with small_disk(tmp_path / "disk", 4) as disk:
        with pytest.raises(DiskFull, match="the disk is full"):
            fetch(name, disk / "here")
        assert not list(disk.iterdir())


def test_a_file_that_can_only_be_written_in_part(plant, tmp_path):
    name, limits = plant(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(DiskFull, match="the disk is full"):
            fetch(name, tmp_path / "here")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_only_a_pickle_is_refused(plant, hub):
    name = plant({"pytorch_model.bin": "pickle"}, without=("model.safetensors",))
    with pytest.raises(ModelError) as error:
        fetch(name)
    assert str(error.value) == (
        f"{name} holds its weights only as a pickle (pytorch_model.bin), which can run code when it is read; it is refused. "
        "Ask its author for safetensors"
    )
    assert not hub.asked("GET", f"{name}/resolve")


@pytest.mark.parametrize("missing", ["model.safetensors", "config.json"])
def test_what_is_no_model(missing, plant):
    name = plant(without=(missing,))
    with pytest.raises(ModelError, match=f"{name} holds no {missing}; it is not a model that zoo or timm made"):
        fetch(name)


def test_a_text_too_long_is_not_fetched(plant, hub):
    name = plant({"recipe.yaml": b"#" * 20_000_001})
    with pytest.raises(ModelError, match=r"recipe\.yaml is 20,000,001 bytes long, which it never should be; refused"):
        fetch(name)
    assert not hub.asked("GET", f"{name}/resolve")


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"config.json": "{"}, "it is no JSON (JSONDecodeError)"),
        ({"config.json": b"\xff{}"}, "it is no JSON (UnicodeDecodeError)"),
        ({"config.json": DEEP}, "it is no JSON (RecursionError)"),
        ({"config.json": "[]"}, "it is no mapping"),
        ({"config.json": '{"num_classes": NaN}'}, "it holds NaN"),
        ({"config.json": '{"num_classes": -Infinity}'}, "it holds -Infinity"),
        ({"config.json": {"zoo": []}}, "zoo is [] instead of a mapping"),
        ({"config.json": {}}, "timm has no architecture 'None'."),
        ({"config.json": {**CONFIG, "architecture": ["x"]}}, "timm has no architecture \"['x']\"."),
        (
            {"config.json": {**CONFIG, "architecture": "test_resnett"}},
            "timm has no architecture 'test_resnett'. Did you mean 'test_resnet'?",
        ),
        ({"config.json": {**CONFIG, "num_classes": 10**9}}, "num_classes=1000000000 is larger than anything in its weights (5000)"),
        ({"config.json": {**CONFIG, "model_args": {"channels": [10**9]}}}, "channels=1000000000 is larger than anything in its weights (5000)"),
        ({"config.json": {**CONFIG, "model_args": {"x": [[[[1]]]]}}}, "x holds [[[[1]]]]"),
        ({"config.json": {**CONFIG, "model_args": {"x": {"y": 1}}}}, "x holds {'y': 1}"),
        ({"config.json": {**CONFIG, "model_args": {"x": [1] * 300}}}, "x holds [1, 1, 1,"),
        ({"config.json": {**CONFIG, "model_args": {"checkpoint_path": "/etc/passwd"}}}, "'checkpoint_path' is no option of an architecture"),
        ({"config.json": {**CONFIG, "model_args": {"a b": 1}}}, "'a b' is no option of an architecture"),
        ({"config.json": {**CONFIG, "pretrained_cfg": {"custom_load": True}}}, "pretrained_cfg.custom_load would load something else"),
        ({"config.json": {**CONFIG, "pretrained_cfg": {"state_dict": {"a": 1}}}}, "pretrained_cfg.state_dict would load something else"),
        ({"config.json": {**CONFIG, "pretrained_cfg": {"input_size": [3, 10**6, 32]}}}, "images of [3, 1000000, 32] px (at most 4096)"),
        ({"config.json": {**CONFIG, "pretrained_cfg": {"crop_pct": 1e-9}}}, "crop_pct=1e-09"),
        ({"config.json": {**CONFIG, "label_names": [1, 2]}}, "the classes are not a list of names"),
    ],
    ids=lambda value: None if isinstance(value, dict) else "".join(c if c.isalnum() else "-" for c in value)[:40],
)  # fmt: skip
def test_a_hostile_configuration(files, why, tmp_path):
    refuses(tmp_path, files, why)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"backbone": "timm:resnet1000"}, "timm has no architecture 'resnet1000'. Did you mean 'resnet200'?"),
        ({"backbone": "hf-hub:bob/evil"}, "the backbone 'hf-hub:bob/evil' would be fetched from elsewhere"),
        ({"backbone": "local-dir:/etc"}, "the backbone 'local-dir:/etc' would be fetched from elsewhere"),
        ({"concat": ["hf-hub:bob/evil"]}, "the backbone 'hf-hub:bob/evil' would be fetched from elsewhere"),
        ({"backbone": "zoo-x:net"}, "the backbone 'zoo-x:net' is a plugin's. If you trust it: pip install zoo-x"),
        ({"backbone": 3}, "zoo.backbone: Input should be a valid string"),
        ({"head": {"name": "evil"}}, "unknown head 'evil'."),
        ({"head": "linear"}, "head is 'linear' instead of a mapping"),
        ({"head": {}}, "zoo.name: Field required"),
        ({"head": {"name": "mlp", "hidden": 10**9}}, "hidden=1000000000 is larger than anything in its weights (5000)"),
        ({"options": {"channels": 10**9}}, "channels=1000000000 is larger than anything in its weights (5000)"),
        ({"options": {"pretrained": True}}, "'pretrained' is no option of an architecture"),
        ({"options": [1]}, "zoo.options: Input should be a valid dictionary"),
        ({"insert": 10**9}, "insert=1000000000 is larger than anything in its weights (5000)"),
        ({"outputs": 10**9}, "outputs=1000000000 is larger than anything in its weights (5000)"),
        ({"in_chans": 1000}, "zoo.in_chans: Input should be 1 or 3"),
        ({"image_size": 10**6}, "images of 1000000 px (at most 4096)"),
        ({"image_size": "32"}, "images of '32' px (at most 4096)"),
        ({"image_size": 4000, "crop_pct": 0.1}, "crop_pct=0.1"),
        ({"crop_pct": 0}, "crop_pct=0"),
        ({"std": [0, 0.2, 0.2]}, "std=[0, 0.2, 0.2]"),
        ({"mean": "abc"}, "mean='abc'"),
        ({"task": "regression"}, "zoo.task is 'regression'. There are: multiclass, multilabel."),
        ({"rule": {"temperature": -1}}, "zoo.rule.temperature is -1; expected a number above 0"),
        ({"rule": {"__class__": 1}}, "zoo.rule has the unknown key '__class__'."),
        ({"task": "multilabel", "rule": {"thresholds": [0.5] * 999}}, "zoo.rule.thresholds is [0.5, 0.5, 0.5,"),
        ({"classes": "cat"}, "the classes are not a list of names"),
        ({"classes": ["cat", "\x1b[31mdog"]}, "the class name '\\x1b[31mdog' holds control characters"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_hostile_section(change, why, tmp_path):
    refuses(tmp_path, {"config.json": {**CONFIG, "zoo": {**ABOUT, **change}}}, why)


def refuses(folder: Path, files: dict[str, Any], why: str) -> None:
    with pytest.raises(ModelError) as error:
        check(write(folder / "model", files), "bob/evil")
    said = str(error.value)
    assert said.startswith(f"config.json of bob/evil is refused: {why}")
    assert "\n" not in said and len(said) < 400


def test_weights_that_are_none(tmp_path):
    with pytest.raises(ModelError, match=r"^model\.safetensors of bob/evil is damaged: "):
        check(write(tmp_path / "model", {"model.safetensors": b"\xff" * 100}), "bob/evil")


@pytest.mark.parametrize("config", [CONFIG, {**CONFIG, "zoo": ABOUT}], ids=["timm", "zoo"])
def test_an_honest_configuration(config, tmp_path):
    check(write(tmp_path / "model", {"config.json": config}), "ann/pets")


def test_a_refused_model_leaves_nothing_behind(plant, tmp_path):
    name = plant({"config.json": "[]"})
    with pytest.raises(ModelError, match=f"config.json of {name} is refused: it is no mapping"):
        fetch(name, tmp_path / "here")
    assert not list(tmp_path.iterdir())
