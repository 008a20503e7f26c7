"""Pull: a model on the Hub -> a checked model folder."""

from pathlib import Path
from typing import Any

from zoo.models.folder import load
from zoo.remote import fetch


def pull(name: str, to: str | Path | None = None) -> dict[str, Any]:
    """Fetch `user/name[@revision]` into the folder `to` (unless said, `./name`) and load it once. Raises ZooError."""
    repo = name.removeprefix("hf-hub:").partition("@")[0]
    fetched = fetch(name, Path(to) if to is not None else Path(repo.rpartition("/")[2]))
    classifier = load(fetched.folder)
    return {
        "folder": str(fetched.folder),
        "repository": fetched.repo,
        "revision": fetched.revision,
        "classes": list(classifier.classes),
        "parameters": sum(p.numel() for p in classifier.model.parameters()),
    }
