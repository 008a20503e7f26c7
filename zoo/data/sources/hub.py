"""`owner/name`: a data set of the Hugging Face Hub."""

import datasets
import huggingface_hub.constants
from datasets import Dataset, DatasetDict
from huggingface_hub.errors import LocalEntryNotFoundError

from zoo.config.recipe import Data
from zoo.config.source_ref import SourceRef
from zoo.data.sources.naming import ADVICE
from zoo.errors import DataError, first_line
from zoo.hub import hub, refusal


def matches(ref: SourceRef) -> bool:
    return ref.is_hub


def open(ref: SourceRef, options: Data) -> dict[str, Dataset]:
    """The data set in the configuration `data.config` at `data.revision`. Raises DataError."""
    advice = f"There is no folder of that name either. {ADVICE}"
    with hub(ref.place, advice, DataError):
        datasets.config.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE
        try:
            found = datasets.load_dataset(ref.place, options.config, revision=options.revision)
        except LocalEntryNotFoundError:
            raise
        except (FileNotFoundError, ValueError, datasets.exceptions.DatasetGenerationError) as error:
            why = (refusal(error) or first_line(error.__cause__ or error)).rstrip(".")
            raise DataError(f"'{ref.place}' cannot be fetched: {why}. {advice}") from error
    return dict(found) if isinstance(found, DatasetDict) else {"train": found}
