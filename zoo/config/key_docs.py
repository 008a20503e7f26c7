"""What each key of a recipe is, in the words of its YAML: type, default and meaning."""

import json
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from zoo.config.recipe import Recipe, sections

WORDS = {int: "integer", float: "number", str: "text", bool: "true or false"}


@dataclass(frozen=True)
class Key:
    """One key of a recipe.

    name: dotted, as in `train.epochs`; is_section: whether further keys stand below it; type: as in `integer | auto`,
    "" for sections; default: as written in YAML, None where the key must be given; doc: what it means.
    """

    name: str
    is_section: bool
    type: str
    default: str | None
    doc: str


def describe_keys() -> list[Key]:
    """Every key of a recipe, depth first, each section before its keys."""
    return [
        Key(
            name,
            section is not None,
            "" if section is not None else _type(info),
            None if info.is_required() else _default(info.default),
            info.description or "",
        )
        for name, info, section in sections(Recipe)
    ]


def _default(value: object) -> str:
    """A default as it would be written in YAML."""
    value = value.model_dump() if hasattr(value, "model_dump") else value
    return value if isinstance(value, str) else json.dumps(value).replace('"', "")


def _type(info: Any) -> str:
    """A field's type in YAML's words."""
    if get_origin(info.annotation) is dict:
        return "mapping"
    choices = [a for a in get_args(info.annotation) if a is not type(None)]
    flat = [c for choice in choices for c in (get_args(choice) or (choice,))] or [info.annotation]
    flat = [c for c in flat if isinstance(c, str | int) or c in WORDS or isinstance(c, type)]
    words = [str(c) if isinstance(c, str | int) and not isinstance(c, type) else WORDS.get(c, "mapping") for c in flat]
    return " | ".join(dict.fromkeys(words)) or "mapping"
