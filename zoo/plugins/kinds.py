"""The kinds of part that a plugin can bring.

A new kind is one row of `KINDS`, a protocol in `zoo.contracts`, a module of checks in `zoo.testing`, a field of the recipe in
`zoo.config.recipe`, and the code that finds and uses the part, as `zoo.models.classifier` does for heads. Entry-point groups,
options, recipe keys, `zoo list`, `zoo show` and `zoo plugin check` are derived from the row.
"""

import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property

from zoo import contracts
from zoo.timm_index import timm_models, timm_optimizers


@dataclass(frozen=True)
class Kind:
    """One kind of part.

    name: singular, as in `zoo plugin new --kind NAME`. plural: names the list `zoo list PLURAL` and the group.
    protocol: the class of `zoo.contracts` that says how the zoo calls the part; None for recipes, which are files.
    also_given: arguments that the zoo passes on top of the protocol's, to parts that declare them.
    key: dotted recipe key that holds the part's name; "" if recipes do not name this kind.
    options_key: recipe key of the part's options; "" if they stand with the name, as in `{name: mlp, hidden: 256}`.
    more_keys: recipe keys that list further names.
    prefix: text before a plugin's name under `key`; a value without it is not a plugin's.
    checks: module with the points of the contract; "" if only source and metadata are checked.
    columns: columns of `zoo list PLURAL`; each row has at least these.
    timm: gives timm's own names of this kind, as a mapping to one line about each where timm has one.
    """

    name: str
    plural: str
    protocol: type | None = None
    also_given: tuple[str, ...] = ()
    key: str = ""
    options_key: str = ""
    more_keys: tuple[str, ...] = ()
    prefix: str = ""
    checks: str = ""
    columns: tuple[str, ...] = ("name", "owner", "summary")
    timm: Callable[[], Collection[str]] | None = None

    @property
    def group(self) -> str:
        """The entry-point group."""
        return f"zoo.{self.plural}"

    @cached_property
    def given(self) -> tuple[str, ...]:
        """Parameters that the zoo fills in; all others of a part are its options."""
        if self.protocol is None:
            return ()
        parameters = inspect.signature(self.protocol.__call__).parameters.values()
        named = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD and p.name != "self"]
        return (*named, *self.also_given)

    @property
    def path(self) -> tuple[str, ...]:
        """`key` word by word: ("model", "head")."""
        return tuple(self.key.split(".")) if self.key else ()


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "backbone",
            "backbones",
            contracts.Backbone,
            key="model.backbone",
            options_key="model.options",
            more_keys=("model.concat",),
            checks="zoo.testing.backbone",
            columns=("name", "owner"),
            timm=timm_models,
        ),
        Kind("head", "heads", contracts.Head, also_given=("model",), key="model.head", checks="zoo.testing.head"),
        Kind("schedule", "schedules", contracts.Schedule, key="schedule", checks="zoo.testing.schedule"),
        Kind("recipe", "recipes", checks="zoo.testing.recipe"),
        Kind("adapter", "adapters", contracts.Adapter, key="model.adapter", checks="zoo.testing.adapter"),
        Kind("loss", "losses", contracts.Loss, also_given=("task",), key="train.loss", checks="zoo.testing.loss"),
        Kind(
            "optimizer",
            "optimizers",
            contracts.OptimizerFactory,
            key="optim.name",
            options_key="optim.options",
            timm=timm_optimizers,
        ),
        Kind("method", "methods", contracts.Method, key="method", checks="zoo.testing.method"),
        Kind("source", "sources", contracts.Source, key="data.source", options_key="data.options", prefix="plugin:"),
    )
}
"""Every kind by its name, in the order in which lists show them."""
