"""A plugin's factory becomes a source, and what it may not do is said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from zoo.config.recipe import Data
from zoo.data.columns import image_column, label_columns
from zoo.data.sources import open_source
from zoo.errors import PluginError, UnknownName, UsageError

PLUGIN = """
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image
from PIL import Image as Pillow

def rows(count):
    features = Features({"picture": Image(), "kind": ClassLabel(names=["cat", "dog"])})
    pictures = [Pillow.new("RGB", (8, 8)) for _ in range(count)]
    return Dataset.from_dict({"picture": pictures, "kind": [i % 2 for i in range(count)]}, features=features)

def pets(*, count: int = 4, **more):
"""


def from_plugin(install: Callable[..., Path], body: str, **options: Any) -> dict[str, Dataset]:
    install("zoo-pets", sources={"pets": "zoo_pets:pets"}, files={"zoo_pets.py": PLUGIN + body})
    return open_source(Data(source="plugin:pets", options=options))


def test_a_plugins_source(install: Callable[..., Path]) -> None:
    found = from_plugin(install, "    return DatasetDict(train=rows(count), test=rows(2))\n", count=6)
    assert {name: len(split) for name, split in found.items()} == {"train": 6, "test": 2}
    assert (image_column(found["train"], None), label_columns(found["train"], None)) == ("picture", ["kind"])
    assert list(open_source(Data(source="plugin:zoo-pets:pets"))) == ["train", "test"]


def test_a_plugins_data_set_without_splits_is_train(install: Callable[..., Path]) -> None:
    assert list(from_plugin(install, "    return rows(count)\n")) == ["train"]


@pytest.mark.parametrize(
    ("body", "options", "error", "message"),
    [
        ("    return 3\n", {}, PluginError,
            "source 'pets' of zoo-pets 1.0 gives a int, but the contract asks for a datasets.DatasetDict of Datasets"),
        ("    return rows(count).to_iterable_dataset()\n", {}, PluginError,
            "source 'pets' of zoo-pets 1.0 gives a IterableDataset, but the contract asks for a datasets.DatasetDict "
            "of Datasets"),
        ("    return DatasetDict()\n", {}, PluginError,
            "source 'pets' of zoo-pets 1.0 gives no splits, but the contract asks for train at least"),
        ("    return DatasetDict(train=rows(2), test=rows(2).remove_columns('kind'))\n", {}, PluginError,
            "source 'pets' of zoo-pets 1.0: its split 'test' has no ClassLabel column, which the contract asks for "
            "(columns: picture)"),
        ("    return rows(2).remove_columns('picture')\n", {}, PluginError,
            "source 'pets' of zoo-pets 1.0: its split 'train' has no Image column, which the contract asks for "
            "(columns: kind)"),
        ("    raise OSError('no network')\n", {}, PluginError,
            "source 'pets' of zoo-pets 1.0 failed with OSError: no network"),
        ("    raise ValueError(f'count: {count}')\n", {"count": -1}, UsageError,
            "data.options: source 'pets' refuses its options: count: -1"),
    ],
)  # fmt: skip
def test_what_a_plugins_source_may_not_do(
    body: str, options: dict[str, Any], error: type, message: str, install: Callable[..., Path]
) -> None:
    with pytest.raises(error) as problem:
        from_plugin(install, body, **options)
    assert str(problem.value) == message


def test_an_unknown_plugin_is_not_looked_for_elsewhere(install: Callable[..., Path]) -> None:
    install("zoo-pets", sources={"pets": "zoo_pets:pets"})
    with pytest.raises(UnknownName, match=r"unknown source 'pats'\. Did you mean 'pets'\?"):
        open_source(Data(source="plugin:pats"))
