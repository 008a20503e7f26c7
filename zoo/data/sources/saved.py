"""A folder that `datasets` wrote with `save_to_disk`."""

import datasets
from datasets import Dataset, DatasetDict

from zoo.config.recipe import Data
from zoo.config.source_ref import SourceRef
from zoo.errors import DataError, first_line


def matches(ref: SourceRef) -> bool:
    return ref.kind == "path" and any(
        (ref.path / name).is_file() for name in ("dataset_dict.json", "dataset_info.json")
    )


def open(ref: SourceRef, options: Data) -> dict[str, Dataset]:
    """The splits as they were saved; a single Dataset is `train`. Raises DataError for a folder with missing files."""
    try:
        found = datasets.load_from_disk(str(ref.path))
    except (OSError, ValueError, LookupError) as error:
        why = first_line(error).rstrip(".")
        raise DataError(f"data.source: '{ref.path}' is not whole: {why}. Write it again with save_to_disk") from error
    return dict(found) if isinstance(found, DatasetDict) else {"train": found}
