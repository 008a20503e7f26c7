"""Entry points: which parts are installed, who owns them, and one part by name.

Listing reads metadata and imports nothing. Only the part that was asked for is imported, and whatever it does at
import, `SystemExit` included, becomes one PluginError that names its distribution.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from zoo.errors import PluginError, UnknownName
from zoo.timm_index import timm_models

Kind = Literal["backbone", "head", "schedule", "recipe"]
KINDS: tuple[Kind, ...] = ("backbone", "head", "schedule", "recipe")
OWN = "timm-zoo"


@dataclass(frozen=True)
class Plugin:
    """One registered part: its kind and name, the distribution that owns it, and where it is defined."""

    kind: Kind
    name: str
    owner: str
    version: str
    target: str
    """`module:attribute`, or a package whose YAML files are recipes."""

    @property
    def full_name(self) -> str:
        return f"{self.owner}:{self.name}"

    def load(self) -> Callable[..., Any]:
        """Import the part. Raises PluginError, whatever the plugin does."""
        try:
            part = EntryPoint(self.name, self.target, f"zoo.{self.kind}s").load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise PluginError(
                f"{self.kind} '{self.name}' of {self.owner} {self.version} cannot be imported ({self.target}): "
                f"{reason}. Mend it or leave it out: pip uninstall {self.owner}"
            ) from error
        if not callable(part):
            raise PluginError(
                f"{self.kind} '{self.name}' of {self.owner} {self.version}: {self.target} is a "
                f"{type(part).__name__}, but the contract asks for something that can be called"
            )
        return part


@cache
def installed(kind: Kind) -> tuple[Plugin, ...]:
    """All registered parts of a kind, sorted by name. `ZOO_PLUGINS=a,b` keeps those distributions and the zoo's own."""
    wanted = os.environ.get("ZOO_PLUGINS")
    keep = None if wanted is None else {OWN, *(_normal(w) for w in wanted.split(","))}
    found = {
        Plugin(kind, point.name, _normal(point.dist.name), point.dist.version, point.value)
        for point in entry_points(group=f"zoo.{kind}s")
        if point.dist is not None and point.dist.name  # a half-removed distribution has no name
    }
    return tuple(sorted((p for p in found if keep is None or p.owner in keep), key=lambda p: (p.name, p.owner)))


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution.strip()).lower()


def find(kind: Kind, name: str) -> Plugin:
    """The part called `name` or `owner:name`. Raises UnknownName, or PluginError where owners clash."""
    parts = installed(kind)
    hits = [p for p in parts if name in (p.name, p.full_name)]
    if not hits:
        raise UnknownName(kind, name, [p.name for p in parts], f"See them all: zoo list {kind}s")
    if len(hits) > 1:
        owners = " and ".join(f"{p.owner} {p.version}" for p in hits)
        raise PluginError(f"{kind} '{name}' is registered by {owners}. Say which: {_choices(hits)}")
    return hits[0]


def find_backbone(name: str) -> Plugin | None:
    """The plugin backbone called `name`, or None where the name is timm's (`timm:`, `local-dir:` included).

    Raises UnknownName, or PluginError where a plugin and timm, or two plugins, share the name.
    """
    if name.startswith(("local-dir:", "hf-hub:")):
        return None
    owner, _, bare = name.rpartition(":")
    of_timm = owner in ("", "timm") and bare.partition(".")[0] in timm_models()
    hits = [p for p in installed("backbone") if name in (p.name, p.full_name)]
    if of_timm and hits:
        owners = " and ".join(f"{p.owner} {p.version}" for p in hits)
        choices = f"{_choices(hits)}, timm:{name}"
        raise PluginError(f"backbone '{name}' is registered by {owners} and by timm. Say which: {choices}")
    if of_timm:
        return None
    if hits:
        return find("backbone", name)
    known = [*(p.name for p in installed("backbone")), *timm_models()]
    raise UnknownName("backbone", name, known, "See them all: zoo list backbones")


def _choices(hits: list[Plugin]) -> str:
    return ", ".join(p.full_name for p in hits)
