"""What a run records of the parts that it used."""

from importlib.metadata import version

from zoo.config.environment import parts_named, plugins_used
from zoo.config.recipe import Recipe
from zoo.plugins import zoo_version

LEAST = {"model": {"backbone": "resnet18"}, "data": {"source": "x"}, "train": {"loss": "cross-entropy"}}
OURS = {"owner": "timm-zoo", "version": zoo_version(), "contract": ""}
TIMMS = {"owner": "timm", "version": version("timm"), "contract": ""}


def test_every_part_of_a_plain_recipe():
    assert plugins_used(Recipe.model_validate(LEAST)) == [
        {"kind": "backbone", "name": "resnet18", **TIMMS},
        {"kind": "head", "name": "linear", **OURS},
        {"kind": "schedule", "name": "none", **OURS},
        {"kind": "loss", "name": "cross-entropy", **OURS},
        {"kind": "optimizer", "name": "adamw", **TIMMS},
        {"kind": "method", "name": "supervised", **OURS},
    ]


def test_plugins_of_every_kind_with_their_contract(install):
    kinds = ("backbones", "heads", "schedules", "adapters", "losses", "optimizers", "methods", "sources")
    parts = {kind: {"odd": "zoo_odd:part"} for kind in kinds}
    install("zoo-odd", version="2.1", files={"zoo_odd.py": "ZOO_CONTRACT = '>=1'\nraise SystemExit"}, **parts)
    model = {"backbone": "odd", "head": "odd", "adapter": "odd", "concat": ["resnet18", "zoo-odd:odd"]}
    recipe = Recipe.model_validate(
        {
            "model": model,
            "data": {"source": "plugin:zoo-odd:odd"},
            "schedule": "odd",
            "method": "odd",
            "optim": {"name": "odd"},
            "train": {"loss": "odd"},
        }
    )
    odd = {"name": "odd", "owner": "zoo-odd", "version": "2.1", "contract": ">=1"}
    used = plugins_used(recipe)
    assert [row["kind"] for row in used] == [kind for kind, _ in parts_named(recipe)]
    assert {row["kind"] for row in used} == {kind[:-1] for kind in kinds if kind != "losses"} | {"loss"}
    assert [row for row in used if row["owner"] != "timm"] == [
        {"kind": row["kind"], **odd} for row in used if row["owner"] != "timm"
    ]
    assert [row for row in used if row["owner"] == "timm"] == [{"kind": "backbone", "name": "resnet18", **TIMMS}]
