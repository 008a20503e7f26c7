"""The names timm registers, read from its installed source: no import of timm, hence none of torch."""

import ast
import json
import os
import re
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

ENTRY_POINT = re.compile(r"^@register_model\s*\n(?:@.*\n)*def\s+(\w+)\s*\(", re.MULTILINE)


def cache_folder() -> Path:
    """Where the zoo keeps what it can make again: `$ZOO_CACHE`, else `~/.cache/timm-zoo`."""
    return Path(os.environ.get("ZOO_CACHE") or Path.home() / ".cache" / "timm-zoo").expanduser()


@cache
def timm_models() -> tuple[str, ...]:
    """Every architecture the installed timm registers, sorted."""
    try:
        timm = distribution("timm")
    except PackageNotFoundError:
        return ()
    stored = cache_folder() / f"timm-{timm.version}.json"
    with suppress(OSError, ValueError):
        names = json.loads(stored.read_text())
        if names and isinstance(names, list) and all(isinstance(name, str) for name in names):
            return tuple(names)
    names = _scan(Path(str(timm.locate_file("timm/models"))))
    _store(stored, names)
    return names


@cache
def timm_optimizers() -> dict[str, str]:
    """Every optimiser the installed timm registers, by name, and what timm says of it."""
    try:
        source = Path(str(distribution("timm").locate_file("timm/optim/_optim_factory.py"))).read_bytes()
    except (PackageNotFoundError, OSError):
        return {}
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    found = {
        _text(call, 0, "name"): _text(call, 2, "description")
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "OptimInfo"
    }
    for call in calls:
        if isinstance(call.func, ast.Attribute) and call.func.attr == "register_alias":
            found[_text(call, 0, "alias")] = found.get(_text(call, 1, "target"), "")
    return {name: about for name, about in sorted(found.items()) if name}


def _text(call: ast.Call, position: int, word: str) -> str:
    """An argument that is written as plain text, else ''."""
    given = [*call.args[position : position + 1], *(k.value for k in call.keywords if k.arg == word)]
    return next((v.value for v in given if isinstance(v, ast.Constant) and isinstance(v.value, str)), "")


def _scan(folder: Path) -> tuple[str, ...]:
    sources = (path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    return tuple(sorted({name for source in sources for name in ENTRY_POINT.findall(source)}))


def _store(path: Path, names: tuple[str, ...]) -> None:
    """Keep the index for next time; a cache that cannot be written is no fault."""
    part = path.with_suffix(f".{os.getpid()}.part")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(names))
        part.replace(path)
    with suppress(OSError):
        part.unlink(missing_ok=True)
