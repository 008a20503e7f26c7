"""`sample:NAME`: pictures that are installed with the zoo."""

import re
from pathlib import Path

from datasets import Dataset

from zoo.config.recipe import Data
from zoo.config.source_ref import SourceRef
from zoo.data.sources.parquet import read_parquet
from zoo.errors import UnknownName

SAMPLES = Path(__file__).parents[2] / "samples"


def matches(ref: SourceRef) -> bool:
    return ref.kind == "sample"


def open(ref: SourceRef, options: Data) -> dict[str, Dataset]:
    """The sample's splits. Raises UnknownName."""
    folder = SAMPLES / ref.place
    if not re.fullmatch(r"[\w-]+", ref.place) or not folder.is_dir():
        raise UnknownName("sample", ref.place, sorted(p.name for p in SAMPLES.iterdir() if p.is_dir()))
    return read_parquet(folder)
