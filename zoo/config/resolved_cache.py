"""A recipe with every key written out, kept from last time: pydantic's import takes longer than a light command may."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import zoo
from zoo.plugins import installed
from zoo.storage.atomic import write_text
from zoo.timm_index import cache_folder

READERS = (
    *("config/recipe.py", "config/loading.py", "config/renamed.py", "config/yaml12.py", "plugins/signature.py"),
    *("contracts.py", "schedules/__init__.py"),
)
"""What reads a recipe: when one of these changes, nothing kept counts any more."""


@dataclass(frozen=True)
class Resolved:
    """Every key of a recipe: as YAML text, and as a tree."""

    text: str
    tree: dict[str, Any]


def resolved(path: Path) -> Resolved:
    """The recipe in a YAML file. Raises RecipeError with all faults; one with faults is never kept."""
    kept = cache_folder() / "recipes" / f"{_key(path)}.json"
    with suppress(OSError, ValueError, TypeError):
        return Resolved(**json.loads(kept.read_text(encoding="utf-8")))
    from zoo.config.loading import dump_recipe, read_recipe

    recipe = read_recipe(path)
    found = Resolved(dump_recipe(recipe), recipe.model_dump())
    with suppress(OSError):  # a cache that cannot be written is no fault
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_text(kept, json.dumps(asdict(found)))
    return found


def _key(path: Path) -> str:
    digest = hashlib.sha256()
    for part in _depends_on(path):
        digest.update(part + b"\0")
    return digest.hexdigest()[:32]


def _depends_on(path: Path) -> Iterator[bytes]:
    """The file, the code that reads it, and every installed part that it may name."""
    with suppress(OSError):
        yield path.read_bytes()
    for package in ("timm", "pydantic"):
        yield version(package).encode()
    home = Path(zoo.__file__).parent
    for name in READERS:
        seen = (home / name).stat()
        yield f"{name} {seen.st_mtime_ns} {seen.st_size}".encode()
    yield repr(installed()).encode()
