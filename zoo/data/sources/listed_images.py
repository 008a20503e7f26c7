"""Image files that a table names: found in listings of the folder around it, so that nothing outside is ever opened."""

import os
from collections.abc import Sequence
from pathlib import Path

from zoo.data.sources.naming import IMAGE_SUFFIXES
from zoo.errors import DataError


def find_images(table: Path, names: Sequence[str | None], lines: Sequence[int]) -> list[str]:
    """The file of each name, below the folder of `table`; a name may lack its suffix. No image is opened.

    lines: where each name stands, for messages. Raises DataError for blank names, for paths that lead out of the folder
    (absolute, by `..` or by a link), for files that do not exist, and for names that several files fit.
    """
    folder, root, found, missing = ImageFolder(table.parent), str(table.parent), [], []
    for name, line in zip(names, lines, strict=True):
        if not isinstance(name, str):
            raise DataError(f"data.source: line {line} of '{table}' names no image. Fill or remove the row")
        files = folder.find(name)
        if files is None:
            raise DataError(
                f"data.source: line {line} of '{table}' names '{name}', which leads out of the folder '{table.parent}'. "
                f"Write paths relative to the file, and keep the images below its folder"
            )
        if len(files) > 1:
            raise DataError(
                f"data.source: line {line} of '{table}' names '{name}', which may be {' or '.join(sorted(files))}. "
                f"Write the suffix"
            )
        if files:
            found.append(os.path.join(root, os.path.dirname(name), files[0]))
        else:
            missing.append(name)
    if missing:
        first = ", ".join(f"'{name}'" for name in missing[:3])
        raise DataError(
            f"data.source: {len(missing)} of {len(lines)} images that '{table}' names do not exist, first {first}. "
            f"Paths are relative to the folder '{table.parent}'"
        )
    return found


class ImageFolder:
    """The files below one folder, listed folder by folder as they are asked for."""

    def __init__(self, root: Path) -> None:
        self.root, self.inside = root, os.path.realpath(root)
        self.listings: dict[str, tuple[dict[str, bool], dict[str, list[str]]] | None] = {}

    def find(self, name: str) -> list[str] | None:
        """Names of the files that `name` fits in its folder: itself, else with each suffix of an image.

        None where it leads out of the root.
        """
        if name.startswith("/") or (".." in name and ".." in name.split("/")):
            return None
        parent, last = os.path.split(name)
        if parent not in self.listings:
            self.listings[parent] = self._listing(parent)
        listing = self.listings[parent]
        if listing is None:
            return None
        files, stems = listing
        fitting = [last] if last in files else stems.get(last, [])
        return None if any(files[file] and not self._is_inside(parent, file) for file in fitting) else fitting

    def _is_inside(self, *parts: str) -> bool:
        target = os.path.realpath(os.path.join(self.root, *parts))
        return os.path.commonpath([self.inside, target]) == self.inside

    def _listing(self, parent: str) -> tuple[dict[str, bool], dict[str, list[str]]] | None:
        """File -> whether it is a link, and the image files of each stem; empty without a folder, None outside the root."""
        try:
            if not self._is_inside(parent):
                return None
            with os.scandir(os.path.join(self.root, parent)) as entries:
                files = {entry.name: entry.is_symlink() for entry in entries if entry.is_file()}
        except (OSError, ValueError):
            return {}, {}
        stems: dict[str, list[str]] = {}
        for file in files:
            stem, suffix = os.path.splitext(file)
            if suffix.lower() in IMAGE_SUFFIXES:
                stems.setdefault(stem, []).append(file)
        return files, stems
