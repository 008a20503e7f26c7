"""Where images come from: each source turns a `SourceRef` into named splits of `datasets`, images still encoded.

A source is a module with `matches(ref)` and `open(ref, options)`; the first of `SOURCES` that matches is asked.
What `data.source` may say is parsed in `zoo/config/source_ref.py`, whose `BUILT_IN` lists these sources for `zoo list`.
"""

from typing import Protocol

import datasets
from datasets import Dataset

from zoo.config.recipe import Data
from zoo.config.source_ref import SourceRef
from zoo.data.sources import hub, image_folder, parquet, plugin, sample, saved, table
from zoo.data.sources.naming import ADVICE
from zoo.errors import DataError

datasets.disable_progress_bars()


class BuiltIn(Protocol):
    """What each module in `SOURCES` offers."""

    def matches(self, ref: SourceRef) -> bool:
        """Whether this source reads what `ref` leads to. Looks at names and folders, opens no image."""

    def open(self, ref: SourceRef, options: Data) -> dict[str, Dataset]:
        """Every split by the source's own name, never empty: a column of images that are still encoded, and others.

        options: the recipe's section `data`, of which a source reads what concerns it.
        Raises DataError with what to type instead.
        """


SOURCES: dict[str, BuiltIn] = {
    "sample": sample,
    "plugin": plugin,
    "hub": hub,
    "table": table,
    "saved": saved,
    "parquet": parquet,
    "image-folder": image_folder,
}
"""The zoo's own sources by name, in the order in which they are asked; a folder of images is what no other reads."""


def open_pictures(data: Data) -> dict[str, Dataset]:
    """The same for images whose labels nobody reads: a folder may hold them directly, or in folders of any names."""
    ref = SourceRef.parse(data.source)
    first = next((source for source in SOURCES.values() if source.matches(ref)), None)
    return image_folder.open_pictures(ref) if first is image_folder else open_source(data)


def open_source(data: Data) -> dict[str, Dataset]:
    """Every split of `data.source` by the source's own names. Raises DataError with what to type instead."""
    ref = SourceRef.parse(data.source)
    if ref.kind == "path" and not ref.exists:
        raise DataError(f"data.source: there is no {ref.expected} '{data.source}'. {ADVICE}")
    for source in SOURCES.values():
        if source.matches(ref):
            return source.open(ref, data)
    raise DataError(
        f"data.source: '{data.source}' is a file, and none that can be read (.csv, .tsv, .jsonl, .ndjson, .parquet). {ADVICE}"
    )
