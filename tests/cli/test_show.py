"""zoo show"""

import json
import subprocess
import sys

import pytest

from zoo.config.catalog import recipes
from zoo.config.loading import parse_recipe
from zoo.config.recipe import Recipe, sections


@pytest.mark.parametrize("recipe", recipes(), ids=lambda r: r.name)
def test_a_recipe_comes_with_its_header_and_every_key(zoo, recipe):
    code, out, err = zoo("show", recipe.name)
    assert (code, err) == (0, "")
    header = [line for line in recipe.path.read_text().splitlines() if line.startswith("#")]
    assert out.splitlines()[: len(header)] == header
    shown = parse_recipe(out, "shown")
    assert shown == parse_recipe(recipe.path.read_text(), "file")
    assert (
        json.loads(zoo("show", recipe.path, "--json").out) == shown.model_dump() == json.loads(shown.model_dump_json())
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "timm-zoo:mlp",
            "head mlp (timm-zoo 0.1.0)\n"
            "Average pooling, then hidden layers with GELU, then a linear layer.\n\n"
            "hidden: width of each hidden layer; layers: how many of them; dropout: probability after each.\n"
            "Input: a feature map as `features` says; output: logits (B, K).\n"
            "options:\n  hidden: int  (default 512)\n  layers: int  (default 1)\n  dropout: float  (default 0.0)\n",
        ),
        (
            "timm:resnet18.a1_in1k",
            "backbone resnet18 (timm)\n"
            "An architecture of timm. model.options takes the options of its class, such as drop_path_rate.\n",
        ),
        (
            "paw",
            "head paw (zoo-paws 1.0)\nFour toes.\noptions:\n  toes: int  (required)\n"
            "schedule paw (zoo-paws 1.0)\nStep by step.\n",
        ),
    ],
)
def test_parts_of_every_kind(zoo, install, name, text):
    source = """
def paw(features, num_classes, *, toes: int):
    '''Four toes.'''
def steps(groups, epochs):
    '''Step by step.'''
"""
    parts = {"heads": {"paw": "zoo_paws:paw"}, "schedules": {"paw": "zoo_paws:steps"}}
    install("zoo-paws", files={"zoo_paws.py": source}, **parts)
    assert zoo("show", name) == (0, text, "")


def test_a_part_as_json(zoo):
    code, out, _ = zoo("show", "two-stage", "--json")
    (part,) = json.loads(out)
    assert (code, part["kind"], part["name"], part["owner"]) == (0, "schedule", "two-stage", "timm-zoo")
    assert part["options"][0] == {"name": "head_epochs", "type": "int", "default": "1"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "quikstart",
            "unknown name 'quikstart'. Did you mean 'quickstart'? See zoo list recipes, heads, schedules, backbones, losses, adapters",
        ),
        (
            "linaer",
            "unknown name 'linaer'. Did you mean 'linear'? See zoo list recipes, heads, schedules, backbones, losses, adapters",
        ),
        ("zzzz", "unknown name 'zzzz'. See zoo list recipes, heads, schedules, backbones, losses, adapters"),
        ("a.yaml", "no recipe file 'a.yaml'. A recipe is a name (zoo list recipes) or a YAML file's path"),
    ],
)
def test_an_unknown_name(zoo, name, message):
    assert zoo("show", name) == (2, "", f"error: {message}\n")


def test_a_schedule_laid_out(zoo):
    assert zoo("show", "gradual", "--epochs", 8, "epochs_per_group=2", "lr_decay=0.5") == (
        0,
        "schedule gradual (timm-zoo 0.1.0): 8 epochs of a backbone in 6 groups\n"
        "phase  epochs  trains          rate\n"
        "    1       2  head            1\n"
        "    2       2  stage4 to head  stage4 0.5 to head 1\n"
        "    3       2  stage3 to head  stage3 0.25 to head 1\n"
        "    4       2  everything      stem 0.031 to head 1\n"
        "rate: times optim.lr, at its peak in the phase\n",
        "",
    )


@pytest.mark.parametrize(
    ("words", "row"),
    [
        (("linear-probe", "--epochs", 3), "1       3  head    1"),
        (("surgical", "only=[stem, stage2]"), "1       5  stem, stage2, head  1"),
        (("lp-ft", "--epochs", 9), "1       4  head        1     ends after 2 epochs without a better metric"),
        (("norm-only", "--epochs", 3), "1       3  everything  1     only norms below the head"),
        (("bias-only", "--epochs", 3), "1       3  everything  1     only biases below the head"),
        (("freeze-out", "--epochs", 1), "1       1  everything  0.5   constant rate"),
        (
            ("plateau", "--epochs", 5),
            "1       3  head        1     ends after 1 epoch without a better metric, constant rate",
        ),
    ],
)
def test_what_is_special_about_a_phase(zoo, words, row):
    code, out, err = zoo("show", *words)
    assert (code, err, out.splitlines()[2].strip()) == (0, "", row)


def test_a_schedule_laid_out_for_a_backbone(zoo, tmp_path):
    code, out, err = zoo("show", "two-stage", "--backbone", "test_resnet", "--png", tmp_path / "plan.png")
    lines = out.splitlines()
    assert (code, err) == (0, f"wrote {tmp_path / 'plan.png'}\n")
    assert lines[0].startswith("schedule two-stage (timm-zoo 0.1.0): 5 epochs of test_resnet, ")
    assert lines[1].split() == ["phase", "epochs", "trains", "parameters", "rate"]
    assert lines[2].split() == ["1", "1", "head", "970", "1"]
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")


def test_a_schedule_laid_out_as_json(zoo):
    document = json.loads(zoo("show", "lp-ft", "--epochs", 4, "--json", "patience=3").out)
    assert (document["name"], document["epochs"], document["options"]) == ("lp-ft", 4, {"patience": 3})
    assert [(p["epochs"], p["trains"][-1], p["patience"], p["kind"]) for p in document["phases"]] == [
        (2, "head", 3, "all"),
        (2, "head", None, "all"),
    ]


def test_a_plan_without_a_backbone_needs_neither_torch_nor_matplotlib():
    code = "import sys; from zoo.cli import main; main(['show', 'gradual', '--epochs', '5'])"
    code += "; print(sorted({'torch', 'timm', 'matplotlib', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1], done.stderr) == (0, "[]", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("linear", "dropout=0.5"), "unknown schedule 'linear'. Did you mean 'linear-probe'? See them all: zoo list schedules"),
        (("quickstart", "train.epochs=3"),
            "'quickstart' is a recipe; options, --epochs, --backbone and --png go with a schedule. See zoo show --help"),
        (("first-k", "k"), "'k' is not option=value, as in k=2. See zoo show --help"),
        (("first-k", "--epochs", "0"), "Invalid value for '--epochs': 0 is not in the range x>=1. See zoo show --help"),
        (("first-k", "k=6"),
            "schedule: 'first-k' with train.epochs=5: k is 6, but must lie between 0 and 5, the groups below the head"),
    ],
)  # fmt: skip
def test_a_plan_that_makes_no_sense(zoo, words, message):
    assert zoo("show", *words) == (2, "", f"error: {message}\n")


def test_a_model_folder_or_repository_is_a_backbone(zoo, finished, tmp_path):
    folder = finished.folder / "model"
    assert zoo("show", f"local-dir:{folder}").out == (
        f"backbone local-dir:{folder} (timm)\nThe model in the folder {folder}: test_resnet, 10 classes.\n"
    )
    assert json.loads(zoo("show", "hf-hub:a/b", "--json").out)[0]["kind"] == "backbone"
    assert zoo("show", f"local-dir:{tmp_path}") == (
        2,
        "",
        f"error: 'local-dir:{tmp_path}' has no config.json; local-dir: takes a model folder, as in RUN/model\n",
    )
    for content in ("[]", "{}", "{"):
        (tmp_path / "config.json").write_text(content)
        code, _, err = zoo("show", f"local-dir:{tmp_path}")
        assert (code, err) == (
            2,
            f"error: 'local-dir:{tmp_path}' has a config.json that is not timm's (it needs an architecture)\n",
        )


def test_the_schema_documents_every_key(zoo):
    code, out, err = zoo("show", "--schema")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    for key, info, section in sections(Recipe):
        assert info.description
        if section is not None:
            assert f"{key}: {info.description}" in lines
        else:
            at = next(i for i, line in enumerate(lines) if line.startswith(f"  {key}  ("))
            assert lines[at + 1] == f"      {info.description}"
            assert "default" in lines[at] or "required" in lines[at]
    assert json.loads(zoo("show", "--schema", "--json").out) == Recipe.model_json_schema()


@pytest.mark.parametrize(
    "line",
    [
        "model.pretrained  (true or false | text; default true)",
        "model.options  (mapping; default {})",
        "model.head  (mapping; default {name: linear})",
        "model.in_chans  (1 | 3; default 3)",
        "data.source  (text; required)",
        "data.limit  (integer; default null)",
        "data.crop_pct  (number; default 1.0)",
        "data.in_memory  (auto | true or false; default auto)",
        "data.augment.rotate  (number; default 0.0)",
        "data.augment.crop  (none | padded | resized; default none)",
        "optim.clip_norm  (number; default null)",
        "train.accumulation  (integer; default 1)",
        "train.compile  (auto | reduce-overhead | true or false; default auto)",
    ],
)
def test_types_and_defaults_are_in_yamls_words(zoo, line):
    assert f"  {line}" in zoo("show", "--schema").out.splitlines()


def test_an_optimiser_of_timm_lists_its_options(zoo):
    code, out, err = zoo("show", "sgd")
    assert (code, err) == (0, "")
    assert "Set options under optim.options." in out and "  nesterov: bool  (default True)\n" in out
