"""Names of backbones, as others may read them."""

from pathlib import Path


def without_folders(backbone: str) -> str:
    """A backbone's name, of `local-dir:` the last part of its path alone."""
    kind, colon, path = backbone.partition(":")
    return f"{kind}:{Path(path).name}" if kind == "local-dir" and colon else backbone
