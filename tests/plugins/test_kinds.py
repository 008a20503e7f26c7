"""The table of kinds is whole: each row has what everything else derives from it."""

from importlib import import_module
from operator import attrgetter

import pytest

import zoo.testing
from zoo.config.loading import PARTS, UNNAMED
from zoo.config.recipe import Recipe
from zoo.plugins import KINDS

LEAST = Recipe.model_validate({"model": {"backbone": "resnet18"}, "data": {"source": "x"}})


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_row_is_whole(kind):
    assert kind.group == f"zoo.{kind.plural}"
    assert (kind.protocol is None) == (kind.name == "recipe") == (not kind.key)
    if kind.protocol:
        assert f"Entry-point group `{kind.group}`" in kind.protocol.__doc__
    for key in filter(None, (kind.key, kind.options_key, *kind.more_keys)):
        attrgetter(key)(LEAST)
    if kind.checks:
        module = import_module(kind.checks)
        assert module.POINTS and module.Subject and callable(getattr(zoo.testing, f"check_{kind.name}"))
    assert set(kind.columns) <= {"name", "owner", "summary", "version"}


def test_what_the_zoo_fills_in_is_what_the_protocol_says():
    assert KINDS["head"].given == ("features", "num_classes", "model")
    assert KINDS["schedule"].given == ("groups", "epochs")
    assert KINDS["optimizer"].given == ("params", "lr", "weight_decay")
    assert KINDS["recipe"].given == KINDS["source"].given == ()


def test_recipes_name_parts_where_the_table_says():
    inline = {
        ("model", "head"): "head",
        ("model", "adapter"): "adapter",
        ("schedule",): "schedule",
        ("train", "loss"): "loss",
    }
    assert inline.items() <= PARTS.items()
    own = {("model", "head"): "linear", ("schedule",): "none", ("train", "loss"): "cross-entropy"}
    assert own.items() <= UNNAMED.items() and ("model", "adapter") not in UNNAMED
