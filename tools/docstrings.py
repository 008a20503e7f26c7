"""Count what public docstrings of `zoo/` state: shapes where tensors or arrays go in or out, and errors that are raised.

    python tools/docstrings.py [FOLDER]

Prints a line for each docstring that leaves one out, then both shares. Exit code 1 if a share is below 80 %.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LEAST = 0.8
ARRAYS = re.compile(r"\b(Tensor|ndarray)\b")
BY_NAME = re.compile(r"\b(dict|Mapping)\[str, '?\"?(torch\.|np\.)?(Tensor|ndarray)'?\"?\]")
"""Tensors by name, as in a state: they have no common shape."""
TUPLE = re.compile(r"\(([^()]*,[^()]*)\)")
LETTER, WORD = re.compile(r"[A-Za-z]|\d+|\.\.\."), re.compile(r"[A-Za-z]\w*( ?[*/+-] ?\w+)*|\d+|\.\.\.")
IN_WORDS = re.compile(r"\bscalar\b|\bany shape\b|\bsame shape\b")
ERRORS = re.compile(r"\bRaises?\b")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Documented:
    """A public function, method or class. place: `file:line`; shape, error: whether it needs to state them, and does."""

    name: str
    place: str
    takes_arrays: bool
    states_shape: bool
    raises: bool
    states_error: bool


def collect(folder: Path) -> Iterator[Documented]:
    """Everything public in the modules below a folder; names and folders that begin with `_` are private."""
    for path in sorted(folder.rglob("*.py")):
        if not any(part.startswith("_") and part != "__init__.py" for part in path.relative_to(folder).parts):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            yield from _public(tree.body, path, "")


def _public(body: list[ast.stmt], path: Path, owner: str) -> Iterator[Documented]:
    for node in body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        name, place = owner + node.name, f"{path}:{node.lineno}"
        if isinstance(node, ast.ClassDef):
            text = _class_text(node)
            yield Documented(name, place, _has_arrays(node), states_shape(text), False, False)
            yield from _public(node.body, path, f"{name}.")
        else:
            text = ast.get_docstring(node) or ""
            states = states_shape(text), bool(ERRORS.search(text))
            yield Documented(name, place, _has_arrays(node), states[0], _raises(node) and not _is_help(node), states[1])


def states_shape(text: str) -> bool:
    """Whether a text has a shape, as (B, K), (N,), (count, 2, 3) or (b, ...), or says in words that there is none to name."""
    sides = [[side.strip() for side in inner.rstrip(", ").split(",")] for inner in TUPLE.findall(text)]
    shapes = [s for s in sides if all(map(WORD.fullmatch, s)) and any(map(LETTER.fullmatch, s))]
    return bool(shapes) or IN_WORDS.search(text) is not None


def _class_text(node: ast.ClassDef) -> str:
    """The docstrings of a class, of its fields and of its constructor."""
    init = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    strings = [n.value.value for n in node.body if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)]
    return "\n".join([*map(str, strings), *(ast.get_docstring(n) or "" for n in init)])


def _has_arrays(node: Function | ast.ClassDef) -> bool:
    """Whether a tensor or an array stands in the signature; of a class: in its fields or its constructor."""
    if isinstance(node, ast.ClassDef):
        inits = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        fields = [n.annotation for n in node.body if isinstance(n, ast.AnnAssign)]
        return any(map(_is_array, fields)) or any(map(_has_arrays, inits))
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    annotations = [a.annotation for a in arguments if a.annotation] + [node.returns] * (node.returns is not None)
    return any(map(_is_array, annotations))


def _is_array(annotation: ast.expr) -> bool:
    return ARRAYS.search(BY_NAME.sub("", ast.unparse(annotation))) is not None


def _is_help(node: Function) -> bool:
    """Whether the docstring is a command's help, which says nothing of Python's exceptions."""
    return any("command" in ast.unparse(decorator) for decorator in node.decorator_list)


def _raises(node: ast.AST) -> bool:
    """Whether the function itself names an exception to raise; functions within it do not count."""
    return any(
        (isinstance(child, ast.Raise) and child.exc is not None)
        or (not isinstance(child, Function | ast.Lambda | ast.ClassDef) and _raises(child))
        for child in ast.iter_child_nodes(node)
    )


def report(found: list[Documented]) -> tuple[str, bool]:
    """The misses and both shares as text, and whether both are high enough."""
    shapes = [d for d in found if d.takes_arrays]
    errors = [d for d in found if d.raises]
    lines, enough = [], True
    for what, those, missing in (
        ("shapes", shapes, [d for d in shapes if not d.states_shape]),
        ("errors", errors, [d for d in errors if not d.states_error]),
    ):
        lines += [f"{d.place}: {d.name}: no {what}" for d in missing]
        share = 1 - len(missing) / len(those) if those else 1.0
        lines.append(f"{what}: {len(those) - len(missing)} of {len(those)} ({share:.0%})")
        enough = enough and share >= LEAST
    return "\n".join(lines), enough


def main(folder: str = "zoo") -> int:
    """Print the report on a folder; 0 if both shares reach 80 %, else 1."""
    text, enough = report(list(collect(Path(folder))))
    print(text)
    return int(not enough)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
