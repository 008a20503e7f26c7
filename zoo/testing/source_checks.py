"""What stands in the source and the metadata of a part: docstring, options, contract range, licence, no pickles."""

import inspect
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from zoo.contracts import API_VERSION
from zoo.errors import PluginError
from zoo.plugins import OWN, Plugin, locate
from zoo.plugins.signature import Option, Signature
from zoo.testing.part import Part
from zoo.testing.pickles import breaches
from zoo.testing.report import Skip, Violation


def importing(part: Part) -> Iterator[Violation]:
    """It can be imported, and is something that can be called."""
    if part.kind == "recipe":
        return
    try:
        found = part.call
    except PluginError as error:
        yield Violation(str(error), f"fix it until this works: python -c 'import {part.module}'")
    else:
        if not callable(found):
            yield Violation(f"a {type(found).__name__}", "pass a function or a class")


def docstring(part: Part) -> Iterator[Violation]:
    """A docstring says what the part is and what its options mean."""
    own = vars(part.call).get("__doc__") if inspect.isclass(part.call) else part.call.__doc__
    if not (own or "").strip():
        yield Violation(
            "there is none", f"write one under {getattr(part.call, '__name__', 'it')}; its first line is listed"
        )


def annotations(part: Part) -> Iterator[Violation]:
    """Every option is named and annotated, and its default fits, so that recipes are checked before anything is built."""
    for parameter in part.parameters():
        name, default = parameter.name, parameter.default
        if parameter.kind is parameter.VAR_KEYWORD:
            yield Violation(f"**{name} takes any option, typing errors too", "name the options one by one", mild=True)
            continue
        if parameter.annotation is parameter.empty:
            yield Violation(f"option '{name}' has no annotation", f"write {name}: int, float, bool, str or the like")
            continue
        text = parameter.annotation
        text = text if isinstance(text, str) else inspect.formatannotation(text).strip("'")
        declared = Signature((Option(name, text, "..."),), False, "")
        if default is not parameter.empty and (wrong := declared.faults(part.label, {name: default})):
            yield Violation(f"option '{name}: {text}' {wrong[0][1]} as its default", "make the two agree")


def contract_range(part: Part) -> Iterator[Violation]:
    """The module, or the package around it, says which versions of the contract it was written for, this one among them."""
    if part.owner == OWN:
        return
    plugin = part.plugin or Plugin(part.kind, "", part.owner or "", "", f"{part.module}:")
    wanted = f'ZOO_CONTRACT = ">={API_VERSION},<{API_VERSION + 1}"'
    if not plugin.contract:
        loose = part.owner is None
        yield Violation(f"{part.module} states none", f"write {wanted} at the top of {part.module}", mild=loose)
    elif plugin.outside_contract:
        yield Violation(f"it states '{plugin.contract}', this is version {API_VERSION}", f"write {wanted}")


def licence(part: Part) -> Iterator[Violation]:
    """The distribution's metadata name its licence."""
    if part.owner is None:
        raise Skip("it belongs to no installed distribution")
    try:
        about = metadata(part.owner)
    except PackageNotFoundError:
        raise Skip(f"{part.owner} has no metadata") from None
    classifiers = [c for c in about.get_all("Classifier") or () if c.startswith("License ::")]
    named = [about.get("License-Expression"), about.get("License"), *classifiers]
    if not any((text or "").strip() not in ("", "UNKNOWN") for text in named):
        yield Violation(f"{part.owner} names none", 'write license = "Apache-2.0" (or yours) under [project]')


def no_pickles(part: Part) -> Iterator[Violation]:
    """Nothing reads or writes pickles: weights are safetensors, or read by torch.load(..., weights_only=True)."""
    files = sources(part.module)
    if not files:
        raise Skip(f"the source of {part.module} is not at hand")
    for file in files:
        try:
            found = list(breaches(file.read_bytes(), str(file)))
        except SyntaxError as error:
            yield Violation(f"{file}:{error.lineno or 1} does not parse: {error.msg}", "fix it")
            continue
        for line, text in found:
            yield Violation(f"{file}:{line} {text}", "use safetensors, or weights_only=True")


def sources(module: str) -> list[Path]:
    """The source files of a module or, where it lies in a package, of the whole package."""
    top = locate(module.partition(".")[0])
    if top is not None and top.origin and top.origin.endswith("__init__.py"):
        return sorted(Path(top.origin).parent.rglob("*.py"))
    own = locate(module)
    origin = own.origin if own is not None else getattr(sys.modules.get(module), "__file__", None)
    return [Path(origin)] if origin and origin.endswith(".py") else []


WRITTEN = (docstring, annotations, contract_range, licence, no_pickles)
