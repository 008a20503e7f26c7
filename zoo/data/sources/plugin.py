"""`plugin:NAME`: a factory that a distribution registers under `zoo.sources`, wrapped as a source."""

from datasets import ClassLabel, Dataset, DatasetDict, Image

from zoo.config.recipe import Data
from zoo.config.source_ref import SourceRef
from zoo.errors import PluginError
from zoo.plugins import calling, find


def matches(ref: SourceRef) -> bool:
    return ref.kind == "plugin"


def open(ref: SourceRef, options: Data) -> dict[str, Dataset]:
    """What the factory gives for `data.options`; one Dataset is `train`.

    Raises UnknownName, UsageError for options that the factory refuses, PluginError for what the contract does not allow.
    """
    plugin = find("source", ref.place)
    factory = plugin.load()
    with calling(plugin, f"data.options: source '{plugin.name}' refuses its options"):
        found = factory(**options.options)
    splits = dict(found) if isinstance(found, DatasetDict) else {"train": found}
    for split, rows in splits.items():
        if not isinstance(rows, Dataset):
            kind = type(rows).__name__
            raise PluginError(f"{plugin} gives a {kind}, but the contract asks for a datasets.DatasetDict of Datasets")
        for kind in (Image, ClassLabel):
            if not any(isinstance(feature, kind) for feature in rows.features.values()):
                raise PluginError(
                    f"{plugin}: its split '{split}' has no {kind.__name__} column, which the contract asks for "
                    f"(columns: {', '.join(rows.column_names)})"
                )
    if not splits:
        raise PluginError(f"{plugin} gives no splits, but the contract asks for train at least")
    return splits
