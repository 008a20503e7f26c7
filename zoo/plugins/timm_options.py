"""Options of timm's optimisers, read from the sources of timm and torch, which are not imported."""

import ast
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from zoo.plugins.kinds import KINDS
from zoo.plugins.module import UNREADABLE
from zoo.plugins.signature import Option, read_options

FACTORY = "timm/optim/_optim_factory.py"
MOMENTUM = "0.9"
"""timm's own default for every optimiser that has momentum."""
SETTLED = ("bias", "foreach", "maximize", "capturable", "differentiable", "fused")
"""Options that say how an optimiser computes, or that the zoo's parameter groups settle."""


def optimizer_options(name: str) -> tuple[Option, ...]:
    """Options of timm's optimiser `name` with timm's defaults; () if they cannot be read from the sources."""
    try:
        tree = _parse("timm", FACTORY)
        info = _info(tree, _target(tree, name))
        found = info and read_options(_home(tree, info["opt_class"]))
    except (PackageNotFoundError, ModuleNotFoundError, KeyError, *UNREADABLE):
        return ()
    if not info or not found:
        return ()
    defaults = _defaults(info)
    given = (*KINDS["optimizer"].given, *SETTLED)
    return tuple(Option(o.name, o.type, defaults.get(o.name, o.default)) for o in found if o.name not in given)


def _parse(distribution_name: str, file: str) -> ast.Module:
    return ast.parse(Path(str(distribution(distribution_name).locate_file(file))).read_bytes())


def _target(tree: ast.Module, name: str) -> str:
    """The registered name behind an alias."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="register_alias"), args=[ast.Constant(alias), ast.Constant(target)]):
                if alias == name:
                    return target
    return name


def _info(tree: ast.Module, name: str) -> dict[str, ast.expr]:
    """The arguments of `OptimInfo(name=...)`, {} if there is none of that name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "OptimInfo":
            words = {keyword.arg or "": keyword.value for keyword in node.keywords}
            if isinstance(words.get("name"), ast.Constant) and words["name"].value == name:
                return words
    return {}


def _home(tree: ast.Module, written: ast.expr) -> str:
    """`module:Class` of the class that an expression like `Lamb` or `torch.optim.SGD` names. Raises KeyError."""
    text = ast.unparse(written)
    if text.startswith("torch.optim."):
        return _imported(_parse("torch", "torch/optim/__init__.py"), "torch.optim")[text.rpartition(".")[2]]
    return _imported(tree, "timm.optim")[text]


def _imported(tree: ast.Module, package: str) -> dict[str, str]:
    """Class -> `module:Class` of everything that a module of the package imports by name."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = f"{package}.{node.module}" if node.level else node.module
            found |= {alias.asname or alias.name: f"{module}:{alias.name}" for alias in node.names}
    return found


def _defaults(info: dict[str, ast.expr]) -> dict[str, str]:
    """Defaults that timm sets on top of the class's own."""
    momentum = ast.unparse(info["has_momentum"]) == "True" if "has_momentum" in info else False
    given = info.get("defaults")
    pairs = zip(given.keys, given.values, strict=True) if isinstance(given, ast.Dict) else ()
    own = {key.value: ast.unparse(value) for key, value in pairs if isinstance(key, ast.Constant)}
    return {**({"momentum": MOMENTUM} if momentum else {}), **own}
