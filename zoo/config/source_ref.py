"""`data.source` parsed once: the kind of source it names, and the place where that lies."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SourceKind = Literal["sample", "plugin", "hub", "path"]
PREFIXES: tuple[SourceKind, ...] = ("sample", "plugin", "hub", "path")
"""Each of these and a colon may stand before a place, and then settles the kind."""
FILE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
"""A name that ends so is a file, whether or not it exists."""
BUILT_IN = {
    "sample": "sample:NAME, images that are installed with the zoo",
    "plugin": "plugin:NAME, a source of an installed plugin",
    "hub": "owner/name, a data set of the Hugging Face Hub",
    "table": "a .csv, .tsv or .jsonl file with image paths relative to it, and labels",
    "saved": "a folder that datasets wrote with save_to_disk",
    "parquet": "a .parquet file, or a folder of them named as on the Hub",
    "image-folder": "a folder of images, one folder per class",
}
"""The zoo's own sources, and what `data.source` says for each."""
HUB_ID = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?")


@dataclass(frozen=True)
class SourceRef:
    """What `data.source` refers to.

    text: as it was typed; place: a sample's or plugin's name, a Hub id, or a path with `~` expanded;
    exists: whether a path was there when the text was parsed.
    """

    text: str
    kind: SourceKind
    place: str
    exists: bool = False

    @classmethod
    def parse(cls, text: str, folder: str | Path = "") -> "SourceRef":
        """What a text means that is typed in `folder` (default: the working folder), whose files are looked up once.

        `sample:`, `plugin:`, `hub:` and `path:` settle the kind. Otherwise a path is what exists, begins with
        `.`, `/` or `~`, ends as a data file does (`labels.csv`), or cannot be a Hub id; all else is a Hub id.
        """
        kind, place = _prefixed(text)
        path = os.path.join(folder, os.path.expanduser(place)) if place else ""
        exists = kind in (None, "path") and os.path.exists(path)
        kind = kind or ("path" if exists or _is_written_as_path(text) else "hub")
        return cls(text, kind, path if kind == "path" else place, exists)

    @classmethod
    def recorded(cls, text: str) -> "SourceRef":
        """What the text in a run's recipe means, wherever it is read: local paths were made absolute there."""
        kind, place = _prefixed(text)
        kind = kind or ("path" if _is_written_as_path(text) else "hub")
        return cls(text, kind, os.path.expanduser(place) if kind == "path" else place)

    @property
    def path(self) -> Path:
        """The place as a path; it has a meaning for the kind `path` only."""
        return Path(self.place)

    @property
    def expected(self) -> str:
        """What a path that does not exist should have been: `file` or `folder`."""
        return "file" if self.place.lower().endswith(FILE_SUFFIXES) else "folder"

    @property
    def hub_id(self) -> str | None:
        """`owner/name` on the Hub, to which a card can link; None for local data and for a name without an owner."""
        return self.place if self.is_hub and "/" in self.place else None

    @property
    def is_hub(self) -> bool:
        """Whether the data come from the Hub."""
        return self.kind == "hub"

    def absolute(self) -> str:
        """The text to record in a run folder: a path that exists is made absolute, file or folder."""
        return str(self.path.absolute()) if self.exists else self.text

    def shown(self) -> str:
        """The text to publish: of a path its last part alone, since the folders above it concern nobody else."""
        match self.kind:
            case "path":
                return self.path.name
            case "hub":
                return self.place
            case _:
                return self.text

    def is_same(self, other: "SourceRef") -> bool:
        """Whether both lead to the same data; different spellings of one path do."""
        if self.kind != other.kind:
            return False
        if self.kind == "path":
            return self.path.resolve() == other.path.resolve()
        return self.place == other.place


def _prefixed(text: str) -> tuple[SourceKind | None, str]:
    """The kind that a prefix names, and the text behind it."""
    found, colon, rest = text.partition(":")
    return next(((kind, rest) for kind in PREFIXES if colon and kind == found), (None, text))


def _is_written_as_path(text: str) -> bool:
    return text.startswith((".", "/", "~")) or text.lower().endswith(FILE_SUFFIXES) or HUB_ID.fullmatch(text) is None
