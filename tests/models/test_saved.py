import json
import pickle
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from small import CLASSES, classifier, images, logits, recipe

import zoo
from zoo.data.image_store import EvalTransform
from zoo.data.loader import Normalise
from zoo.errors import DataError, ModelError, RunError
from zoo.models.classifier import Classifier
from zoo.models.saved import load, save_model
from zoo.tasks.rule import IDENTITY, Rule


def saved(
    folder: Path, backbone="test_resnet", size=32, head="linear", channels_last=False, **model
) -> torch.nn.Module:
    """A classifier, after it was saved to `folder`."""
    channels = model.get("in_chans", 3)
    made = classifier(backbone, size, head, **model)
    made = made.to(memory_format=torch.channels_last) if channels_last else made
    view, normalise = (
        EvalTransform(size, 0.9, channels),
        Normalise((0.5,) * channels, (0.25,) * channels, channels_last),
    )
    save_model(
        folder, made, recipe(backbone, size, head=head, **model), CLASSES, view, normalise, lambda config: "# card\n"
    )
    return made


MODELS = {
    "resnet18": {},
    "densenet121": {"options": {"drop_rate": 0.1}},
    "vit_tiny_patch16_224": {"options": {"global_pool": "avg", "drop_path_rate": 0.1}},
    "test_vit": {"in_chans": 1},
    "test_resnet": {"in_chans": 1},
    "levit_128s": {"size": 64},
    "timm:mobilenetv3_small_050": {"in_chans": 1},
    "deit_tiny_distilled_patch16_224": {},
    "lite0": {"options": {"drop_path_rate": 0.1}, "in_chans": 1},
}


@pytest.mark.parametrize("head", ["linear", {"name": "mlp", "hidden": 16, "layers": 2, "dropout": 0.1}])
@pytest.mark.parametrize("name", MODELS)
def test_what_is_saved_comes_back_bit_for_bit_and_plain_timm_reads_it(tmp_path, name, head):
    model, folder = saved(tmp_path / "model", name, head=head, **MODELS[name]), tmp_path / "model"
    x = images(2, MODELS[name].get("size", 32), MODELS[name].get("in_chans", 3))
    back = zoo.load(folder)
    assert not back.model.training
    assert torch.equal(logits(back.model, x), logits(model, x))
    assert sum(p.numel() for p in back.model.parameters()) == sum(p.numel() for p in model.parameters())

    plain = timm.create_model(f"local-dir:{folder}", pretrained=True)
    if isinstance(model, Classifier):
        assert torch.equal(logits(plain, x), logits(model.backbone, x))
    else:
        assert torch.equal(logits(plain, x), logits(model, x))


def test_the_folders_files(tmp_path):
    saved(tmp_path / "a")
    saved(tmp_path / "b", head="mlp")
    names = {"README.md", "config.json", "model.safetensors"}
    assert {p.name for p in (tmp_path / "a").iterdir()} == names
    assert {p.name for p in (tmp_path / "b").iterdir()} == names | {"head.safetensors"}
    assert {p.name for p in tmp_path.iterdir()} == {"a", "b"}
    assert (tmp_path / "a" / "README.md").read_text() == "# card\n"


def test_config_says_how_to_use_the_model(tmp_path):
    saved(tmp_path / "model", head={"name": "linear", "dropout": 0.1}, in_chans=1)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert (config["architecture"], config["num_classes"]) == ("test_resnet", 5)
    assert config["label_names"] == list(CLASSES)
    cfg = config["pretrained_cfg"]
    assert {k: cfg[k] for k in ("input_size", "mean", "std", "crop_pct", "interpolation", "num_classes")} == {
        "input_size": [1, 32, 32], "mean": [0.5], "std": [0.25], "crop_pct": 0.9,
        "interpolation": "bicubic", "num_classes": 5,
    }  # fmt: skip
    assert config["zoo"] == {
        "contract": 1,
        "task": "multiclass",
        "timm": "model",
        "base": [{"name": "test_resnet", "weights": "random", "hub_id": None, "license": None}],
        "backbone": "timm:test_resnet",
        "options": {"global_pool": "avg"},
        "in_chans": 1,
        "head": {"name": "timm-zoo:linear", "dropout": 0.1},
        "top": "replace",
        "insert": None,
        "cut": None,
        "concat": [],
        "outputs": None,
        "classes": list(CLASSES),
        "image_size": 32,
        "crop_pct": 0.9,
        "mean": [0.5],
        "std": [0.25],
    }
    back = load(tmp_path / "model")
    assert (back.classes, back.view, back.normalise) == (
        CLASSES,
        EvalTransform(32, 0.9, 1),
        Normalise((0.5,), (0.25,), False),
    )


def test_a_foreign_heads_labels_are_the_zoos_alone(tmp_path):
    saved(tmp_path / "model", head="mlp")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert (config["num_classes"], "label_names" in config) == (0, False)
    assert config["zoo"]["classes"] == list(CLASSES)


def test_channels_last_changes_no_weight(tmp_path):
    model = saved(tmp_path / "model", channels_last=True)
    back = load(tmp_path / "model").model
    assert all(torch.equal(v, back.state_dict()[k]) for k, v in model.state_dict().items())
    assert torch.allclose(logits(back, images()), logits(model, images()), atol=1e-5)


def test_a_plugins_backbone_is_named_with_its_owner(tmp_path):
    saved(tmp_path / "model", "lite0")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["zoo"]["backbone"] == "zoo-lite:lite0"


def test_a_folder_made_from_a_folder_stands_alone(tmp_path):
    saved(tmp_path / "first", "test_vit", options={"global_pool": "avg"})
    model = saved(tmp_path / "second", f"local-dir:{tmp_path / 'first'}", size=48)
    (tmp_path / "first" / "model.safetensors").unlink()
    (tmp_path / "first" / "config.json").unlink()
    assert torch.equal(logits(load(tmp_path / "second").model, images(2, 48)), logits(model, images(2, 48)))


def test_probabilities_of_pictures(tmp_path):
    model = saved(tmp_path / "model")
    picture = Image.effect_mandelbrot((50, 40), (-2, -1, 1, 1), 50)
    picture.save(tmp_path / "p.png")
    back = load(tmp_path / "model")
    found = back([picture, str(tmp_path / "p.png"), (tmp_path / "p.png").read_bytes()])
    x = (torch.tensor(back.view(picture)).float()[None] / 255 - 0.5) / 0.25
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    assert torch.allclose(found[:1], logits(model, x).softmax(1), atol=1e-6)


def test_a_rule_travels_with_the_model(tmp_path):
    model, spec, rule = classifier(), recipe(), Rule(temperature=2.0, thresholds=(0.4, 0.5, 0.6, 0.5, 0.9))
    transform, normalise = EvalTransform(32, 0.9, 3), Normalise((0.5,) * 3, (0.25,) * 3, False)
    save_model(tmp_path / "m", model, spec, CLASSES, transform, normalise, lambda config: "", "multilabel", rule)
    back = load(tmp_path / "m")
    assert (back.task.name, back.rule) == ("multilabel", rule)
    picture = Image.effect_mandelbrot((50, 40), (-2, -1, 1, 1), 50)
    assert torch.equal(back([picture]), (logits(back.model, back.inputs([picture])) / 2).sigmoid())


def test_folders_of_before_are_multiclass(tmp_path):
    saved(tmp_path / "m")
    picture = Image.effect_mandelbrot((50, 40), (-2, -1, 1, 1), 50)
    before = load(tmp_path / "m")([picture])
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    for task in ({"task": "multi-class"}, {}):
        about = {key: value for key, value in config["zoo"].items() if key != "task"} | task
        (tmp_path / "m" / "config.json").write_text(json.dumps({**config, "zoo": about}))
        back = load(tmp_path / "m")
        assert (back.task.name, back.rule) == ("multiclass", IDENTITY)
        assert torch.equal(back([picture]), before)


def test_saving_again_replaces_the_whole_folder(tmp_path):
    saved(tmp_path / "model", head="mlp")
    (tmp_path / ".part-model").mkdir()
    (tmp_path / ".part-model" / "rest").write_text("of a killed run")
    model = saved(tmp_path / "model", "test_vit")
    assert {p.name for p in (tmp_path / "model").iterdir()} == {"README.md", "config.json", "model.safetensors"}
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    assert torch.equal(logits(load(tmp_path / "model").model, images()), logits(model, images()))


def test_what_cannot_be_written_leaves_the_old_folder(tmp_path):
    model = saved(tmp_path / "model")
    with pytest.raises(TypeError):
        save_model(
            tmp_path / "model", model, recipe(), CLASSES, EvalTransform(32), Normalise((0.5,), (1,), False), None
        )
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    assert torch.equal(logits(load(tmp_path / "model").model, images()), logits(model, images()))
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError) as caught:
        saved(tmp_path / "file" / "model")
    assert str(caught.value) == f"{tmp_path}/file cannot be written: File exists"


def edit(**changes):
    """Change the `zoo` section of config.json; None takes a key out."""

    def apply(folder: Path) -> None:
        path = folder / "config.json"
        config = json.loads(path.read_text())
        config["zoo"] = {k: v for k, v in (config["zoo"] | changes).items() if v is not None}
        path.write_text(json.dumps(config))

    return apply


def cut(name: str, end: int):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:end])


CONFIG = "{folder}/config.json is damaged: "
WEIGHTS = "{folder}/model.safetensors does not fit its config.json: "
DAMAGED = [
    (lambda f: (f / "config.json").unlink(),
        "'{folder}' is neither a run nor a model folder (no recipe.yaml, no config.json)"),
    (cut("config.json", 100), CONFIG + "JSONDecodeError: Expecting property name enclosed in double quotes: line 5 column 24 (char 100)"),
    (lambda f: (f / "config.json").write_text("[]"), CONFIG + "AttributeError: 'list' object has no attribute 'get'"),
    (lambda f: (f / "config.json").write_bytes(b"\xff"), CONFIG + "UnicodeDecodeError: 'utf-8' codec can't decode byte "
        "0xff in position 0: invalid start byte"),
    (edit(head=None), CONFIG + "KeyError: 'head'"),
    (edit(classes=5), CONFIG + "TypeError: object of type 'int' has no len()"),
    (edit(in_chans=2), CONFIG + "ValidationError: 1 validation error for Model in_chans Input should be 1 or 3 "
        "[type=literal_error, input_value=2, input_type=int] For further information visit "
        "https://errors.pydantic.dev/{pydantic}/v/literal_error"),
    (edit(classes=["a", "b"]), WEIGHTS + "'fc.bias' is (5,), expected (2,)"),
    (edit(backbone="timm:resnet18"), WEIGHTS + "'conv1.0.weight' is in one of them only (98 such names)"),
    (edit(in_chans=1), WEIGHTS + "'conv1.0.weight' is (16, 3, 3, 3), expected (16, 1, 3, 3)"),
    (edit(head={"name": "mlp"}), WEIGHTS + "'fc.bias' is in one of them only (2 such names)"),
    (lambda f: (f / "model.safetensors").unlink(), "no weights at '{folder}/model.safetensors'"),
    (cut("model.safetensors", 4), "{folder}/model.safetensors (4 bytes) is damaged: Error while deserializing header: "
        "header too small. Fetch or train it again"),
    (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "no weights at '{folder}/model.safetensors'"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "message"), DAMAGED)
def test_damaged_folders(tmp_path, spoil, message):
    import pydantic

    folder = tmp_path / "model"
    saved(folder)
    spoil(folder)
    with pytest.raises(ModelError) as caught:
        load(folder)
    version = ".".join(pydantic.VERSION.split(".")[:2])
    assert str(caught.value) == message.format(folder=folder, pydantic=version)


def test_a_lost_head(tmp_path):
    saved(tmp_path / "model", head="mlp")
    (tmp_path / "model" / "head.safetensors").unlink()
    with pytest.raises(ModelError) as caught:
        load(tmp_path / "model")
    assert str(caught.value) == f"no weights at '{tmp_path}/model/head.safetensors'"


def test_runs(tmp_path):
    model = saved(tmp_path / "run" / "model")
    (tmp_path / "run" / "recipe.yaml").write_text("")
    assert torch.equal(logits(load(tmp_path / "run").model, images()), logits(model, images()))
    (tmp_path / "run" / "model" / "config.json").unlink()
    with pytest.raises(ModelError) as caught:
        load(tmp_path / "run")
    assert str(caught.value) == (
        f"the run '{tmp_path}/run' is not finished, it has no model yet. Go on with it: zoo resume {tmp_path}/run"
    )


@pytest.fixture
def timms(tmp_path: Path) -> Path:
    """A folder that timm wrote, without a zoo section."""
    torch.manual_seed(3)
    model = timm.create_model("test_vit", num_classes=2, img_size=32)
    config = {"label_names": ["cat", "dog"]}
    timm.models.save_for_hf(model, tmp_path / "timm", model_config=config, safe_serialization=True)
    return tmp_path / "timm"


def test_folders_of_timm(timms):
    back, plain = load(timms), timm.create_model(f"local-dir:{timms}", pretrained=True)
    assert (back.classes, back.view, back.about) == (("cat", "dog"), EvalTransform(32, 0.95), {})
    assert torch.equal(logits(back.model, images()), logits(plain, images()))


def test_grey_folders_of_timm_take_grey_pictures(tmp_path):
    model = timm.create_model("test_resnet", num_classes=3, in_chans=1)
    timm.models.save_for_hf(model, tmp_path / "timm", safe_serialization=True)
    back = load(tmp_path / "timm")
    assert (back.classes, back.view.channels) == (("0", "1", "2"), 1)
    assert back.inputs([Image.new("RGB", (9, 9))]).shape == (1, 1, back.view.size, back.view.size)


def rewrite(**changes):
    def apply(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return apply


class Explosive:
    def __reduce__(self):
        return (eval, ("1 / 0",))


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    for name in ("pytorch_model.bin", "model.pth", "head.safetensors"):
        (folder / name).write_bytes(pickle.dumps(Explosive()))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (rewrite(label_names=["a", "b", "c"]), "{folder}/config.json names 3 classes, the weights have 2"),
        (rewrite(architecture="test_vit2", model_args={"img_size": 32}), "{folder} does not fit its config.json: "),
        (rewrite(architecture="nope"), "{folder} does not fit its config.json: Unknown model (nope)"),
        (pickled, "no weights at '{folder}/model.safetensors'"),
        (cut("model.safetensors", 9), "{folder}/model.safetensors (9 bytes) is damaged: Error while deserializing header: "
            "invalid header length. Fetch or train it again"),
    ],
)  # fmt: skip
def test_damaged_folders_of_timm(timms, spoil, message):
    spoil(timms)
    with pytest.raises(ModelError) as caught:
        load(timms)
    found, expected = str(caught.value), message.format(folder=timms)
    assert found == expected if not expected.endswith(": ") else found.startswith(expected)
    assert "\n" not in found


@pytest.mark.parametrize("where", ["zoo", "timm"])
def test_a_model_far_larger_than_its_weights_is_not_built(tmp_path, where):
    folder = tmp_path / "model"
    saved(folder, "test_vit")
    config = json.loads((folder / "config.json").read_text())
    wide = {"embed_dim": 4096, "depth": 100}
    if where == "zoo":
        config["zoo"]["options"] |= wide
    else:
        del config["zoo"]
        config["model_args"] |= wide
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        ModelError, match=r"asks for a model of 16,785,334,277 numbers, but its weights hold 300,421; it is not b"
    ):
        load(folder)


def test_a_classifier_takes_one_picture_or_several_and_names_the_one_it_cannot_read(tmp_path):
    saved(tmp_path / "model")
    back = load(tmp_path / "model")
    picture = tmp_path / "a.png"
    Image.new("RGB", (40, 50), "red").save(picture)
    torch.testing.assert_close(back(picture), back([picture, picture])[:1])
    assert repr(back) == "ImageClassifier(5 classes, 32 px, head timm-zoo:linear)"
    with pytest.raises(DataError, match=r"nope\.png: the file is missing"):
        back(["nope.png"])
    with pytest.raises(DataError, match="no picture was given"):
        back([])


def test_a_saved_model_says_whose_head_it_has_and_outlives_a_clash(tmp_path, install):
    saved(tmp_path / "model")
    install(
        "zoo-paw", heads={"linear": "zoo_paw:linear"}, files={"zoo_paw.py": "def linear(features, num_classes): ..."}
    )
    assert load(tmp_path / "model").classes == CLASSES
