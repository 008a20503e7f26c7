"""The drawing in `zoo/__init__.py` is true: what stands higher may import what stands lower, and the light half is light."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import zoo

FOLDER = Path(zoo.__file__).parent
MODULES = {
    ".".join(path.relative_to(FOLDER.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(FOLDER.rglob("*.py"))
}
HEAVY = {"torch", "torchvision", "timm", "accelerate", "datasets", "numpy", "sklearn", "scipy", "safetensors", "PIL"}
LIGHT = (
    *("errors", "contracts", "config", "plugins", "timm_index", "schedules", "storage", "reporting"),
    "tasks.metrics_table",
)


def drawn() -> tuple[dict[str, int], set[str]]:
    """zoo.X or zoo.X.y -> its line of the drawing, and those below `---- light`."""
    lines = zoo.__doc__.splitlines()
    border = next(i for i, line in enumerate(lines) if "---- light" in line)
    rank = {name: i for i, line in enumerate(lines) for name in re.findall(r"zoo(?:\.\w+)+", line)}
    return rank, {name for name, i in rank.items() if i > border}


RANK, BELOW = drawn()


def imports(tree: ast.AST, *, lazy: bool) -> Iterator[str]:
    """Modules imported, those within functions only if `lazy`; what is imported for type checkers alone is left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        elif lazy or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports(node, lazy=lazy)


def imported(module: str, *, lazy: bool) -> set[str]:
    return set(imports(ast.parse(MODULES[module].read_text(encoding="utf-8")), lazy=lazy))


def layer(name: str) -> str:
    """`zoo.data.sources.load` -> `zoo.data`: the longest name that is drawn, else the first two words."""
    words = name.split(".")
    prefixes = (".".join(words[:length]) for length in range(len(words), 1, -1))
    return next((prefix for prefix in prefixes if prefix in RANK), ".".join(words[:2]))


def parents(module: str) -> list[str]:
    """The packages that are imported with a module, `zoo` left out."""
    words = module.split(".")
    return [".".join(words[:length]) for length in range(2, len(words))]


def test_every_module_is_drawn_and_every_drawn_module_is_there():
    layers = {layer(m) for m in MODULES if m not in ("zoo", "zoo.__main__")}
    assert layers == RANK.keys()
    assert {f"zoo.{name}" for name in LIGHT} <= BELOW


@pytest.mark.parametrize("module", [m for m in MODULES if layer(m) in BELOW])
def test_the_light_half_is_light(module):
    found = imported(module, lazy=False)
    for parent in parents(module):
        found |= imported(parent, lazy=False)
    assert not {name for name in found if name.partition(".")[0] in HEAVY}
    assert {layer(name) for name in found if name.startswith("zoo.")} <= BELOW


@pytest.mark.parametrize("module", [m for m in MODULES if layer(m) in RANK])
def test_imports_point_down(module):
    upward = {
        name
        for name in imported(module, lazy=True)
        if name.startswith("zoo.") and RANK[layer(name)] < RANK[layer(module)]
    }
    assert not upward


def test_the_scan_sees_what_it_should():
    source = """
import torch.nn
if TYPE_CHECKING:
    import numpy
try:
    from zoo import verbs
except ImportError:
    pass
class A:
    import timm
def f():
    from zoo.cli import main
"""
    now = {"torch.nn", "zoo.verbs", "timm"}
    assert set(imports(ast.parse(source), lazy=False)) == now
    assert set(imports(ast.parse(source), lazy=True)) == now | {"zoo.cli.main"}


@pytest.mark.parametrize(
    "code",
    [
        "import zoo",
        "import zoo.config.loading; assert zoo.config.loading.load_recipe('quickstart').model.backbone == 'lite0'",
        "import zoo.config.loading as l; l.load_recipe('quickstart', ['model.head=mlp', 'schedule=gradual'])",
        "import zoo.config.catalog; assert zoo.config.catalog.recipes()",
    ],
)
def test_torch_stays_out(code):
    code += f"; import sys; print(sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
