"""Names and options of every kind of part in a recipe, checked before anything is imported."""

import pytest

from zoo.config.loading import dump_recipe, parse_recipe
from zoo.errors import RecipeError

GOOD = """\
model:
  backbone: resnet18
data:
  source: x
"""
PART = "raise SystemExit('imported')\ndef part(a=1, *, size: int = 2): ...\n"
HAS = "(has: a, size). Did you mean 'size'?"


@pytest.fixture(autouse=True)
def odd(install):
    kinds = ("backbones", "heads", "schedules", "adapters", "losses", "optimizers", "sources")
    install("zoo-odd", files={"zoo_odd.py": PART}, **{kind: {"odd": "zoo_odd:part"} for kind in kinds})


def faults(text: str, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, "my.yaml", overrides)
    return list(caught.value.faults)


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (["train.loss.name=odd", "train.loss.sise=1"], f"train.loss.sise: unknown option of loss 'odd' {HAS}"),
        (["train.loss={name: odd, size: x}"], "train.loss.size: expected int, found 'x'"),
        (["train.loss=focl"], "train.loss.name: unknown loss 'focl'. Did you mean 'focal'? See them all: zoo list losses"),
        (["train.loss=3"], "train.loss: expected a mapping (key: value), found 3"),
        (["model.adapter={name: odd, sise: 1}"], f"model.adapter.sise: unknown option of adapter 'odd' {HAS}"),
        (["model.adapter.rank=3"], "model.adapter.name: missing, and it has no default. See zoo show --schema"),
        (["model.adapter={name: 3}"], "model.adapter.name: expected a valid string, found 3"),
        (["optim.name=odd", "optim.options.sise=1"], f"optim.options.sise: unknown option of optimizer 'odd' {HAS}"),
        (["optim.name=od"], "optim.name: unknown optimizer 'od'. Did you mean 'odd'? See them all: zoo list optimizers"),
        (["optim.options.size=x", "optim.name=odd"], "optim.options.size: expected int, found 'x'"),
        (["data.options.sise=1", "data.source=plugin:odd"],
            f"data.options.sise: unknown option of source 'plugin:odd' {HAS}"),
        (["data.source=plugin:zoo-odd:od"],
            "data.source: unknown source 'zoo-odd:od'. Did you mean 'odd'? See them all: zoo list sources"),
        (["data.source=plugin:zoo_odd:part"],
            "data.source: unknown source 'zoo_odd:part'. There are: odd. See them all: zoo list sources"),
        (["data.options.size=1"],
            "data.options: only a plugin's source has options (data.source: plugin:NAME), not 'x'"),
        (["model.backbone=odd", "model.options.sise=1"], f"model.options.sise: unknown option of backbone 'odd' {HAS}"),
        (["model.backbone=plugin:odd"],
            "model.backbone: unknown backbone 'plugin:odd'. Did you mean 'odd'? See them all: zoo list backbones"),
    ],
)  # fmt: skip
def test_one_fault(overrides, fault):
    assert faults(GOOD, *overrides) == [f"command line: {fault}"]


@pytest.mark.parametrize(
    "overrides",
    [
        [], ["model.adapter=null"], ["model.adapter={name: odd, size: 3}"], ["model.adapter=odd", "model.adapter.size=3"],
        ["optim.name=timm:sgd", "optim.options.legs=4"],  # of timm, checked when it is built
        ["data.source=plugin:odd"], ["data.options={size: 3}", "data.source=plugin:zoo-odd:odd"],
        ["train.loss.gamma=1.0", "train.loss=focal"],
    ],
)  # fmt: skip
def test_what_is_right_survives_being_written_and_read(overrides):
    recipe = parse_recipe(GOOD, "my.yaml", overrides)
    assert parse_recipe(dump_recipe(recipe), "resolved") == recipe


def test_a_new_source_starts_without_the_old_ones_options():
    text = GOOD.replace("source: x", "source: plugin:odd\n  options: {size: 3}")
    assert parse_recipe(text, "my.yaml").data.options == {"size": 3}
    assert parse_recipe(text, "my.yaml", ["data.source=plugin:odd"]).data.options == {"size": 3}
    assert parse_recipe(text, "my.yaml", ["data.source=photos"]).data.options == {}
    moved = parse_recipe(text, "my.yaml", ["data.options.a=2", "data.source=plugin:zoo-odd:odd"])
    assert moved.data.options == {"a": 2}


@pytest.mark.parametrize(
    ("kind", "name", "key", "both"),
    [
        ("heads", "linear", "model.head.name: head", "timm-zoo:linear, zoo-more:linear"),
        ("schedules", "none", "schedule.name: schedule", "timm-zoo:none, zoo-more:none"),
        ("losses", "cross-entropy", "train.loss.name: loss", "timm-zoo:cross-entropy, zoo-more:cross-entropy"),
        ("optimizers", "adamw", "optim.name: optimizer", "zoo-more:adamw, timm:adamw"),
    ],
)
def test_a_default_that_clashes_is_a_fault_too(install, kind, name, key, both):
    install("zoo-more", **{kind: {name: "zoo_odd:part"}})
    (fault,) = faults(GOOD)
    assert fault.startswith("my.yaml") and f": {key} '{name}' is registered by " in fault
    assert fault.endswith(f"Say which: {both}")
