"""Pull: a model on the Hub -> a checked model folder."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.hub.download import FILES, PREFIX, fetch
from zoo.models.saved import load


def pull(name: str, to: str | Path | None = None) -> dict[str, Any]:
    """Fetch `user/name[@revision]` into the folder `to` (unless said, `./name`) and load it once. Raises ZooError.

    A model that cannot be loaded leaves nothing.
    """
    repo = name.removeprefix(PREFIX).partition("@")[0]
    folder = Path(to) if to is not None else Path(repo.rpartition("/")[2])
    was_there = os.path.exists(folder)
    fetched = fetch(name, folder)
    try:
        classifier = load(fetched.folder)
    except ZooError:
        for file in FILES:
            (folder / file).unlink(missing_ok=True)
        if not was_there:
            with suppress(OSError):  # by now it holds something else
                folder.rmdir()
        raise
    return {
        "folder": str(fetched.folder),
        "repository": fetched.repo,
        "revision": fetched.revision,
        "classes": list(classifier.classes),
        "parameters": sum(p.numel() for p in classifier.model.parameters()),
    }
