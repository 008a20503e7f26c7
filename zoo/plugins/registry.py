"""Entry points: which parts are installed, and one part by name. Metadata is read, nothing is imported."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions

from zoo.errors import PluginError, UnknownName
from zoo.plugins.kinds import KINDS
from zoo.plugins.part import OWN, Plugin, describe_error, escape
from zoo.timm_index import timm_models, timm_optimizers

TARGET = re.compile(r"([\w.]+)\s*(?::\s*([\w.]+)\s*)?(?:\[.*\])?")


@cache
def installed(kind: str | None = None) -> tuple[Plugin, ...]:
    """All registered parts, or those of a kind, sorted by name. `ZOO_PLUGINS=a,b` keeps those distributions and the zoo's."""
    if kind is not None:
        return tuple(p for p in installed() if p.kind == kind)
    wanted = os.environ.get("ZOO_PLUGINS")
    keep = None if wanted is None else {OWN, *(_normal(w) for w in wanted.split(","))}
    found = {part for part in _registered() if isinstance(part, Plugin) and (keep is None or part.owner in keep)}
    return tuple(sorted(found, key=lambda p: (p.name, p.owner, p.target)))


def unreadable() -> list[str]:
    """A sentence for each distribution whose metadata cannot be read, so that nobody knows what it registers."""
    return sorted({part for part in _registered() if isinstance(part, str)})


def _registered() -> Iterator[Plugin | str]:
    """Every part of every distribution, the first of each name on the path; a sentence for those that cannot be read."""
    owners = set()
    for found in distributions():
        try:
            if "[zoo." not in (found.read_text("entry_points.txt") or "") or not found.name:
                continue  # a half-removed distribution has no name
            if (owner := _normal(found.name)) not in owners:
                owners.add(owner)
                yield from _parts(_first(found), owner)
        except Exception as error:
            place = getattr(found, "_path", None) or found.locate_file("")
            yield f"the metadata in {escape(str(place))} cannot be read: {describe_error(error)}. Install it again or remove it"


def _first(found: Distribution) -> Distribution:
    """What Python takes by this name: another version of it may stand earlier on the path."""
    with suppress(PackageNotFoundError):
        return distribution(found.name)
    return found


def _parts(found: Distribution, owner: str) -> list[Plugin]:
    kinds = {kind.group: kind.name for kind in KINDS.values()}
    return [
        Plugin(kinds[point.group], escape(point.name), owner, escape(found.version or "unknown"), _target(point.value))
        for point in found.entry_points
        if point.group in kinds
    ]


def _target(value: str) -> str:
    """An entry point's value without the spaces and extras that it may have."""
    match = TARGET.fullmatch(value.strip())
    return ":".join(filter(None, match.groups())) if match else escape(value)


def _normal(name: str) -> str:
    return escape(re.sub(r"[-_.]+", "-", name.strip()).lower())


def find(kind: str, name: str) -> Plugin:
    """The part called `name` or `owner:name`. Raises UnknownName, or PluginError where owners clash."""
    hits = _hits(kind, name)
    if not hits:
        raise UnknownName(kind, name, [p.name for p in installed(kind)], f"See them all: zoo list {KINDS[kind].plural}")
    return _only(kind, name, hits)


def find_backbone(name: str) -> Plugin | None:
    """The plugin backbone called `name`, or None where the name is timm's (`timm:`, `local-dir:` included).

    Raises UnknownName, or PluginError where a plugin and timm, or two plugins, share the name.
    """
    if name.startswith(("local-dir:", "hf-hub:")):
        return None
    return _or_timm("backbone", name, name.rpartition(":")[2].partition(".")[0], timm_models())


def find_optimizer(name: str) -> Plugin | None:
    """The plugin optimiser called `name`, or None where the name is timm's, which alone has `lookahead_NAME`.

    Raises UnknownName, or PluginError where a plugin and timm, or two plugins, share the name.
    """
    bare = name.removeprefix("timm:")
    if bare.startswith("lookahead_"):
        name = "timm:" + bare.removeprefix("lookahead_")
    return _or_timm("optimizer", name, name.rpartition(":")[2], tuple(timm_optimizers()))


def resolve(kind: str, name: str) -> Plugin | None:
    """The part of any kind called `name`, None where the name is timm's. Raises UnknownName, PluginError."""
    with_timm = {"backbone": find_backbone, "optimizer": find_optimizer}
    return with_timm[kind](name) if kind in with_timm else find(kind, name)


def _or_timm(kind: str, name: str, theirs: str, of_timm: Sequence[str]) -> Plugin | None:
    """theirs: what timm itself would call it."""
    hits, known = _hits(kind, name), name.rpartition(":")[0] in ("", "timm") and theirs in of_timm
    if hits:
        return _only(kind, name, hits, beside_timm=known)
    if known:
        return None
    names = [*(p.name for p in installed(kind)), *of_timm]
    raise UnknownName(kind, name, names, f"See them all: zoo list {KINDS[kind].plural}")


def _hits(kind: str, name: str) -> list[Plugin]:
    """Parts of that full name, else of that name: nobody takes `owner:name` by calling a part so."""
    parts = installed(kind)
    return [p for p in parts if p.full_name == name] or [p for p in parts if p.name == name]


def _only(kind: str, name: str, hits: Sequence[Plugin], beside_timm: bool = False) -> Plugin:
    if len(hits) == 1 and not beside_timm:
        return hits[0]
    owners = list(dict.fromkeys(f"{p.owner} {p.version}" for p in hits)) + ["timm"] * beside_timm
    if len(owners) == 1:
        places = " and ".join(p.target for p in hits)
        raise PluginError(
            f"{kind} '{name}' is registered by {owners[0]} more than once ({places}); only its author can fix that. "
            f"Leave it out: pip uninstall {hits[0].owner}"
        )
    by = " and by ".join(owners) if beside_timm else " and ".join(owners)
    choices = list(dict.fromkeys(p.full_name for p in hits)) + [f"timm:{name}"] * beside_timm
    raise PluginError(f"{kind} '{name}' is registered by {by}. Say which: {', '.join(choices)}")
