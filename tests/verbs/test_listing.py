"""Listing from Python: what is there, who owns it, by pattern."""

from collections.abc import Callable
from functools import partial
from importlib.metadata import version

import pytest

import zoo
from zoo.plugins import KINDS
from zoo.tasks.metrics_table import METRICS
from zoo.tasks.task import HOMES
from zoo.verbs import listing

LISTS = {
    "backbones": (zoo.list_backbones, {"name", "owner", "version"}),
    "heads": (zoo.list_heads, {"name", "owner", "version", "summary"}),
    "schedules": (zoo.list_schedules, {"name", "owner", "version", "summary"}),
    "recipes": (zoo.list_recipes, {"name", "owner", "summary", "file"}),
    "losses": (partial(listing.list_rows, "losses"), {"name", "owner", "version", "summary"}),
    "optimizers": (partial(listing.list_rows, "optimizers"), {"name", "owner", "version", "summary"}),
}


@pytest.mark.parametrize("kind", LISTS)
def test_every_row_says_everything(kind: str) -> None:
    function, keys = LISTS[kind]
    rows = function()
    assert rows and all(row.keys() == keys and all(row.values()) for row in rows)
    assert len({(row["name"], row["owner"]) for row in rows}) == len(rows)
    assert function("no such name") == []


@pytest.mark.parametrize(
    ("function", "pattern", "names"),
    [
        (zoo.list_heads, "MLP", ["mlp"]),
        (zoo.list_schedules, "n?ne", ["none"]),
        (partial(listing.list_rows, "losses"), "*", ["bce", "cross-entropy", "focal", "poly1"]),
        (partial(listing.list_rows, "optimizers"), "nest", ["nesterov", "nesterovw"]),
        (zoo.list_recipes, "cifar10-[rv]?[st]*", ["cifar10-resnet", "cifar10-vit"]),
        (zoo.list_backbones, "densenet*1", ["densenet121", "densenet161", "densenet201"]),
        (zoo.list_backbones, "resnet1?", ["resnet18"]),
    ],
)
def test_patterns(function: Callable, pattern: str, names: list[str]) -> None:
    assert [row["name"] for row in function(pattern)] == names


def test_owners_and_plugins_first(install: Callable) -> None:
    install("zoo-a", backbones={"resnet18": "zoo_a:net"}, version="2.1")
    assert zoo.list_backbones("[r]esnet18") == [
        {"name": "resnet18", "owner": "zoo-a", "version": "2.1"},
        {"name": "resnet18", "owner": "timm", "version": version("timm")},
    ]


@pytest.mark.parametrize(
    "kind", [kind.plural for kind in KINDS.values() if kind.protocol and "summary" in kind.columns]
)
def test_plugins_of_every_kind(install: Callable, kind: str) -> None:
    install("zoo-a", files={"zoo_a.py": "def part():\n    'Does it.'\n"}, **{kind: {"zoo-part": "zoo_a:part"}})
    assert listing.list_rows(kind, "zoo-part") == [
        {"name": "zoo-part", "owner": "zoo-a", "version": "1.0", "summary": "Does it."}
    ]


def test_timms_optimisers_are_listed_after_plugins(install: Callable) -> None:
    install("zoo-a", optimizers={"zoo-sgd": "zoo_a:sgd"}, files={"zoo_a.py": "def sgd(params): ..."})
    assert [(row["name"], row["owner"]) for row in listing.list_rows("optimizers", "*sgd")][:2] == [
        ("zoo-sgd", "zoo-a"), ("bnbsgd", "timm"),
    ]  # fmt: skip


def test_metrics_say_which_way_is_better_and_for_which_tasks() -> None:
    rows = {row["name"]: row for row in listing.list_rows("metrics")}
    assert list(rows) == [metric.name for metric in METRICS]
    assert rows["accuracy"] == {"name": "accuracy", "better": "higher", "tasks": "multiclass", "summary": "accuracy"}
    assert rows["log_loss"]["better"] == "lower" and rows["map"]["tasks"] == "multilabel"


def test_tasks_say_what_they_are() -> None:
    rows = {row["name"]: row["summary"] for row in listing.list_rows("tasks")}
    assert rows.keys() == HOMES.keys()
    assert rows["multilabel"].startswith("Every image has any number of labels") and all(rows.values())


def test_a_part_without_documentation_has_no_summary(install: Callable) -> None:
    install("zoo-a", heads={"bare": "zoo_a:bare"}, files={"zoo_a.py": "def bare(features, num_classes): ...\n"})
    assert zoo.list_heads("bare") == [{"name": "bare", "owner": "zoo-a", "version": "1.0", "summary": ""}]
