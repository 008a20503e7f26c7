"""Keys of recipes and of `config.json` that had another name in earlier versions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

RENAMED = {("train", "shard"): ("train", "fsdp"), ("model", "beside"): ("model", "concat")}
"""Path of a key in a recipe -> its path now."""
RENAMED_OF_MODEL = {old[-1]: new[-1] for old, new in RENAMED.items() if old[0] == "model"}
"""The same of the keys of `model` that the `zoo` section of a `config.json` repeats."""


def is_stored(recipe: Path) -> bool:
    """Whether a run wrote this recipe: then the run's `environment.json` lies in the same folder."""
    return recipe.name == "recipe.yaml" and recipe.with_name("environment.json").is_file()


def rename_keys(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a recipe's tree in which keys of earlier versions have their names of today."""
    renamed = dict(tree)
    for (section, old), (_, new) in RENAMED.items():
        keys = renamed.get(section)
        if isinstance(keys, Mapping) and old in keys and new not in keys:
            renamed[section] = {new if key == old else key: value for key, value in keys.items()}
    return renamed


def rename_model_keys(about: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the `zoo` section of a `config.json` in which keys of earlier versions have their names of today."""
    return {RENAMED_OF_MODEL.get(key, key): value for key, value in about.items()}
