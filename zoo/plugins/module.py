"""A module found and read without importing it, or anything around it."""

import ast
import sys
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

UNREADABLE = (SyntaxError, ValueError, OSError, RecursionError, MemoryError)
"""What reading and parsing a source can raise; nesting without end takes the parser's stack or memory."""


def locate(module: str) -> ModuleSpec | None:
    """Where a module would be imported from, found without importing its parents."""
    spec, path = None, None
    for name in module.split("."):
        # The last word alone: by its full name, a folder without `__init__.py` asks sys.modules for its parent.
        spec = PathFinder.find_spec(name, path) or (_of_other_finders(name) if path is None else None)
        if spec is None:
            return None
        path = spec.submodule_search_locations or []  # None would search sys.path again
    return spec


def _of_other_finders(name: str) -> ModuleSpec | None:
    """What finders such as those of editable installs say of a top-level module."""
    for finder in sys.meta_path:
        if finder is not PathFinder and hasattr(finder, "find_spec") and (spec := finder.find_spec(name, None)):
            return spec
    return None


def stated_contract(module: str) -> str:
    """`ZOO_CONTRACT` as a module, else a package around it, assigns it: read from the source, never imported."""
    words = module.split(".")
    for length in range(len(words), 0, -1):
        spec = locate(".".join(words[:length]))
        if spec is not None and spec.origin and spec.origin.endswith(".py"):
            with suppress(*UNREADABLE):  # the import will say it
                source = Path(spec.origin).read_bytes()
                for node in reversed(ast.parse(source).body if b"ZOO_CONTRACT" in source else []):
                    match node:
                        case (
                            ast.Assign(targets=[ast.Name(id="ZOO_CONTRACT")], value=value)
                            | ast.AnnAssign(target=ast.Name(id="ZOO_CONTRACT"), value=ast.expr() as value)
                        ):
                            return value.value if _is_text(value) else ast.unparse(value)
    return ""


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
