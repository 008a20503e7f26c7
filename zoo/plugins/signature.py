"""What options a part takes, read from its source where possible, so that nothing heavy is imported."""

import ast
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import PluginError, nearest
from zoo.plugins import KINDS, Plugin, describe_error, escape, locate


@dataclass(frozen=True)
class Option:
    """One option: its annotation and default as written (`...` where it must be given)."""

    name: str
    type: str
    default: str


@dataclass(frozen=True)
class Signature:
    """The options of a part, whether it takes others besides (`**options`), and its docstring."""

    options: tuple[Option, ...]
    open: bool
    doc: str

    def faults(self, label: str, given: Mapping[str, Any]) -> list[tuple[str, str]]:
        """(option, what is wrong) for unknown and missing options; `label` reads like "head 'mlp'"."""
        names = [o.name for o in self.options]
        has = f" (has: {', '.join(names)})" if names else " (it has none)"
        wrong = [] if self.open else [g for g in given if g not in names]
        unknown = [(g, f"unknown option of {label}{has}.{nearest(g, names)}") for g in wrong]
        missing = [
            (o.name, f"{label} needs this option") for o in self.options if o.default == "..." and o.name not in given
        ]
        badly = [
            (o.name, f"expected {o.type}, found {given[o.name]!r}")
            for o in self.options
            if o.name in given and not _fits(given[o.name], o.type)
        ]
        return unknown + missing + badly


def _fits(value: Any, type_text: str) -> bool:
    """Whether a YAML value fits a plain annotation; annotations richer than plain words are left to the part."""
    words = {word.strip() for word in type_text.split("|")}
    plain = {"int": int, "float": (int, float), "bool": bool, "str": str, "None": type(None)}
    if not words or not words <= plain.keys():
        return True
    if isinstance(value, bool):
        return "bool" in words
    return any(isinstance(value, plain[word]) for word in words)


def signature(plugin: Plugin) -> Signature:
    """The options of `plugin`: read from its source, or by importing it where the source does not show them."""
    options, open_, doc = _read(plugin) or _from_import(plugin)
    given = KINDS[plugin.kind].given
    return Signature(tuple(o for o in options if o.name not in given), open_, _plain(doc))


def summary(plugin: Plugin) -> str:
    """First line of its documentation, "" where the source does not show one; never imports. Raises PluginError."""
    found = _read(plugin)
    return _plain(found[2]).partition("\n")[0] if found else ""


def read_options(target: str) -> tuple[Option, ...]:
    """Parameters of the class or function at `module:attribute`, () if the source does not show them; never imports.

    Raises ModuleNotFoundError, SyntaxError.
    """
    module, _, attribute = target.partition(":")
    found = _from_source(module, attribute)
    return tuple(found[0]) if found else ()


def read_docstring(target: str) -> str:
    """Docstring of the class or function at `module:attribute`, "" if the source does not show one; never imports."""
    module, _, attribute = target.partition(":")
    spec = locate(module)
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return ""
    tree = ast.parse(Path(spec.origin).read_bytes(), filename=spec.origin)
    node = next((n for n in tree.body if getattr(n, "name", None) == attribute), None)
    return ast.get_docstring(node) or "" if isinstance(node, ast.ClassDef | ast.FunctionDef) else ""


def _plain(doc: str) -> str:
    return "\n".join(escape(line) for line in doc.expandtabs().splitlines())


def _read(plugin: Plugin) -> tuple[list[Option], bool, str] | None:
    """What the source shows. Raises PluginError where that is enough to know that the part cannot be used."""
    if fault := plugin.malformed or plugin.outside_contract:
        raise PluginError(fault)
    module, _, attribute = plugin.target.partition(":")
    try:
        return _from_source(module, attribute)
    except SyntaxError as error:
        place = f"{error.filename or module}:{error.lineno or 1}"
        raise PluginError(escape(f"{plugin} has a syntax error: {place}: {error.msg}")) from None
    except ModuleNotFoundError as error:
        raise plugin.unusable(describe_error(error)) from None


def _from_source(module: str, attribute: str) -> tuple[list[Option], bool, str] | None:
    spec = locate(module)
    if spec is None:
        raise ModuleNotFoundError(f"No module named '{module}'", name=module)
    if not spec.origin or not spec.origin.endswith(".py"):
        return None
    try:
        tree = ast.parse(Path(spec.origin).read_bytes(), filename=spec.origin)
    except (OSError, ValueError, RecursionError, MemoryError):  # the import will say what is wrong
        return None
    node = next((n for n in tree.body if getattr(n, "name", None) == attribute), None)
    if isinstance(node, ast.ClassDef):
        init = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
        return init and (*_options(init), ast.get_docstring(node) or "")
    if isinstance(node, ast.FunctionDef) and not node.decorator_list:
        return (*_options(node), ast.get_docstring(node) or "")
    return None


def _options(function: ast.FunctionDef) -> tuple[list[Option], bool]:
    args = function.args
    plain = [*args.posonlyargs, *args.args]
    defaults = [*[None] * (len(plain) - len(args.defaults)), *args.defaults, *args.kw_defaults]
    options = [
        Option(a.arg, ast.unparse(a.annotation) if a.annotation else "", ast.unparse(d) if d else "...")
        for a, d in zip([*plain, *args.kwonlyargs], defaults, strict=True)
        if a.arg != "self"
    ]
    return options, args.kwarg is not None


def _from_import(plugin: Plugin) -> tuple[list[Option], bool, str]:
    part, doc = plugin.load(), ""
    try:
        doc = inspect.getdoc(part) or ""
        parameters = inspect.signature(part).parameters.values()
        options = [
            Option(
                p.name,
                "" if p.annotation is p.empty else inspect.formatannotation(p.annotation).strip("'"),
                "..." if p.default is p.empty else escape(repr(p.default)),
            )
            for p in parameters
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        ]
    except ValueError:  # written in C, without a signature
        return [], True, doc
    except Exception as error:
        raise PluginError(f"{plugin}: its options cannot be read: {describe_error(error)}") from error
    return options, any(p.kind is p.VAR_KEYWORD for p in parameters), doc
