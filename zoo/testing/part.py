"""What is checked: a callable or a registered name, with the options it is built with."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from zoo.plugins import KINDS, Plugin, find, installed
from zoo.testing.report import Skip


@dataclass(frozen=True)
class Part:
    """One part of one kind.

    given: the callable, `name` or `owner:name` of a registered one, or the path of a recipe. options: what it is built with.
    slow: also compile, and load pretrained weights. image_size: side in pixels for a backbone, None to find a small one.
    """

    kind: str
    given: Callable[..., Any] | str | Path
    options: Mapping[str, Any] = field(default_factory=dict)
    slow: bool = False
    image_size: int | None = None

    @cached_property
    def plugin(self) -> Plugin | None:
        """The registered part, None for a callable. Raises UnknownName, PluginError."""
        return find(self.kind, self.given) if isinstance(self.given, str) else None

    @cached_property
    def call(self) -> Callable[..., Any]:
        """The part itself, imported. Raises PluginError."""
        if self.plugin is None:
            return self.given  # type: ignore[return-value]
        return self.plugin.load()

    @property
    def label(self) -> str:
        if self.plugin:
            return str(self.plugin)
        return f"{self.kind} {getattr(self.given, '__qualname__', self.given)!s}"

    @property
    def module(self) -> str:
        """Name of the module that defines it."""
        return self.plugin.module if self.plugin else getattr(self.call, "__module__", "")

    @property
    def owner(self) -> str | None:
        """Name of the distribution it comes from, None where none registers a part of its package (as in a test)."""
        if self.plugin:
            return self.plugin.owner
        package = self.module.partition(".")[0]
        return next((p.owner for p in installed() if p.module.partition(".")[0] == package), None)

    @property
    def native(self) -> bool:
        """Whether a head asks for the whole timm model instead of a feature map."""
        return self.kind == "head" and bool(getattr(self.call, "native", False))

    def parameters(self) -> list[inspect.Parameter]:
        """The options it declares: all parameters but those that the zoo fills in.

        Raises Skip if it shows no signature.
        """
        try:
            declared = inspect.signature(self.call).parameters.values()
        except ValueError:
            raise Skip("it is written in C and shows no signature") from None
        return [p for p in declared if p.name not in KINDS[self.kind].given and p.kind is not p.VAR_POSITIONAL]

    def needs(self) -> list[str]:
        """Options without a default that were not given."""
        return [
            p.name
            for p in self.parameters()
            if p.default is p.empty and p.kind is not p.VAR_KEYWORD and p.name not in self.options
        ]
