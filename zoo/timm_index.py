"""The names timm registers, read from its installed source: no import of timm, hence none of torch."""

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
    return Path(os.environ.get("ZOO_CACHE") or Path.home() / ".cache" / "timm-zoo")


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
