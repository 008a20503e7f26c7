"""Pull: a model on the Hub -> a checked model folder."""

import shutil
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.models.folder import load
from zoo.remote import PREFIX, fetch


def pull(name: str, to: str | Path | None = None) -> dict[str, Any]:
    """Fetch `user/name[@revision]` into the folder `to` (unless said, `./name`) and load it once. Raises ZooError.

    A model that cannot be loaded leaves no folder.
    """
    repo = name.removeprefix(PREFIX).partition("@")[0]
    fetched = fetch(name, Path(to) if to is not None else Path(repo.rpartition("/")[2]))
    try:
        classifier = load(fetched.folder)
    except ZooError:
        shutil.rmtree(fetched.folder)
        raise
    return {
        "folder": str(fetched.folder),
        "repository": fetched.repo,
        "revision": fetched.revision,
        "classes": list(classifier.classes),
        "parameters": sum(p.numel() for p in classifier.model.parameters()),
    }
