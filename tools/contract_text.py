"""The plugin contract as Markdown: what `zoo/contracts.py` says in signatures and docstrings, and what is checked."""

import ast
import re
from pathlib import Path

import zoo.contracts
from zoo.plugins import KINDS
from zoo.testing.checks import list_points


def contract() -> str:
    """The module's docstring, then a section for each class in its order."""
    source = Path(zoo.contracts.__file__).read_text(encoding="utf-8")
    tree = ast.parse(source)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return "\n\n".join([ast.get_docstring(tree), *(_section(node, source) for node in classes)])


def _section(node: ast.ClassDef, source: str) -> str:
    """A class by its name, its docstring, and its fields or what it is called with."""
    calls = [n for n in node.body if isinstance(n, ast.FunctionDef)]
    fields = [n for n in node.body if isinstance(n, ast.AnnAssign)]
    code = [_call(call, source) for call in calls] or [
        f"class {node.name}:",
        *(f"    {ast.get_source_segment(source, field)}" for field in fields),
    ]
    code = [re.sub(r'(: |-> )"([^"]+)"', r"\1\2", line) for line in code]  # annotations quoted for the imports' sake
    words = [a.arg for call in calls for a in (*call.args.args, *call.args.kwonlyargs)] + [f.target.id for f in fields]
    return "\n\n".join(
        [
            f"### {node.name}",
            _prose(node, words),
            "\n".join(["```python", *code, "```"]),
            *(_prose(call, words) for call in calls),
        ]
    )


def _call(function: ast.FunctionDef, source: str) -> str:
    """`(features: FeatureInfo, num_classes: int) -> nn.Module`"""
    header = " ".join(source.splitlines()[function.lineno - 1 : function.body[0].lineno - 1])
    return re.sub(r"^\s*def \w+\((self, )?|:$", lambda found: "" if found[0] == ":" else "(", header)


def _prose(node: ast.ClassDef | ast.FunctionDef, words: list[str]) -> str:
    """A docstring; what it says of the fields or arguments in `words` becomes a list."""
    text = re.sub(r"\n +", "\n  ", ast.get_docstring(node) or "")
    return re.sub(rf"(^|\n|(?<=\.) )({'|'.join(words)}): ", r"\n- `\2`: ", text).strip()


def points() -> str:
    """Every point that `zoo plugin check` asks, and of which kinds."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for kind in KINDS:
        for point in list_points(kind):
            kinds.setdefault(point, []).append(kind)
    rows = (f"| {point} | {asks} | {', '.join(of)} |" for (point, asks), of in kinds.items())
    return "\n".join(["| point | what is asked | of |", "|---|---|---|", *rows])
