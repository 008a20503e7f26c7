"""Pickled nowhere: calls and imports in a plugin's source that read or write pickles, found without running it."""

import ast
from collections.abc import Iterator, Mapping

MODULES = ("pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal")
SAFE_ONLY = ("torch.load", "torch.hub.load_state_dict_from_url", "torch.utils.model_zoo.load_url")
"""Calls that are safe with an explicit `weights_only=True`; the default can be turned off from outside."""
NEVER = {
    "torch.save": "it writes a pickle",
    "torch.hub.load": "it runs code from a repository",
    "torch.jit.load": "it runs code from a file",
    "torch.package.PackageImporter": "it runs code from a file",
    "pandas.read_pickle": "it reads a pickle",
}


def breaches(source: bytes, filename: str) -> Iterator[tuple[int, str]]:
    """(line, what is wrong) for everything in a source that can read or write a pickle. Raises SyntaxError."""
    tree = ast.parse(source, filename=filename)
    names = dict(_imported(tree))
    for node in ast.walk(tree):
        for module in _modules(node):
            if module.partition(".")[0] in MODULES:
                yield node.lineno, f"imports {module}"
        if isinstance(node, ast.Call):
            called, given = _dotted(node.func, names), {k.arg: k.value for k in node.keywords}
            if called in NEVER:
                yield node.lineno, f"calls {called}: {NEVER[called]}"
            elif called in SAFE_ONLY and not _is_true(given.get("weights_only")):
                yield node.lineno, f"calls {called} without weights_only=True"
            elif called == "numpy.load" and "allow_pickle" in given and not _is_false(given["allow_pickle"]):
                yield node.lineno, "calls numpy.load with allow_pickle"


def _modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(name in this file, what it stands for)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (first, first)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def _dotted(node: ast.expr, names: Mapping[str, str]) -> str:
    """`t.load` -> `torch.load` where the file says `import torch as t`; '' for any other expression."""
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value, names)
        return f"{owner}.{node.attr}" if owner else ""
    return names.get(node.id, "") if isinstance(node, ast.Name) else ""


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def _is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True
