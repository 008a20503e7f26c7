"""zoo show"""

import json

import pytest

from zoo.catalog import recipes
from zoo.loading import parse_recipe
from zoo.recipe import Recipe, sections


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
            "unknown name 'quikstart'. Did you mean 'quickstart'? See zoo list recipes, heads, schedules or backbones",
        ),
        ("linaer", "unknown name 'linaer'. Did you mean 'linear'? See zoo list recipes, heads, schedules or backbones"),
        ("zzzz", "unknown name 'zzzz'. See zoo list recipes, heads, schedules or backbones"),
        ("a.yaml", "no recipe file 'a.yaml'. A recipe is a name (zoo list recipes) or a YAML file's path"),
    ],
)
def test_an_unknown_name(zoo, name, message):
    assert zoo("show", name) == (2, "", f"error: {message}\n")


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
        "train.compile  (true or false; default false)",
    ],
)
def test_types_and_defaults_are_in_yamls_words(zoo, line):
    assert f"  {line}" in zoo("show", "--schema").out.splitlines()
