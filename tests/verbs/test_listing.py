"""Listing from Python: what is there, who owns it, by pattern."""

from collections.abc import Callable
from importlib.metadata import version

import pytest

import zoo

KINDS = {
    "backbones": (zoo.list_backbones, {"name", "owner", "version"}),
    "heads": (zoo.list_heads, {"name", "owner", "version", "summary"}),
    "schedules": (zoo.list_schedules, {"name", "owner", "version", "summary"}),
    "recipes": (zoo.list_recipes, {"name", "owner", "summary", "file"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_says_everything(kind: str) -> None:
    function, keys = KINDS[kind]
    rows = function()
    assert rows and all(row.keys() == keys and all(row.values()) for row in rows)
    assert len({(row["name"], row["owner"]) for row in rows}) == len(rows)
    assert function("no such name") == []


@pytest.mark.parametrize(
    ("function", "pattern", "names"),
    [
        (zoo.list_heads, "*", ["linear", "mlp"]),
        (zoo.list_heads, "LIN", ["linear"]),
        (zoo.list_schedules, "*o*", ["linear-probe", "none", "two-stage"]),
        (zoo.list_schedules, "none", ["none"]),
        (zoo.list_recipes, "cifar10-[rv]*", ["cifar10-resnet", "cifar10-vit"]),
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


def test_a_part_without_documentation_has_no_summary(install: Callable) -> None:
    install("zoo-a", heads={"bare": "zoo_a:bare"}, files={"zoo_a.py": "def bare(features, num_classes): ...\n"})
    assert zoo.list_heads("bare") == [{"name": "bare", "owner": "zoo-a", "version": "1.0", "summary": ""}]
