"""A new plugin: a package of its own that passes its tests and `zoo plugin check`, and can be published, as it is.

`zoo/templates/package` goes into every plugin, `zoo/templates/KIND` into plugins of that kind. Both are laid out like
the package they become; `{{word}}` in a path or a text stands for one of `words`.
"""

import keyword
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from zoo.config.catalog import recipes
from zoo.errors import UnknownName, UsageError
from zoo.plugins import KINDS, installed
from zoo.timm_index import timm_models

TEMPLATES = Path(__file__).parents[1] / "templates"
SCAFFOLDS = tuple(kind for kind in KINDS if (TEMPLATES / kind).is_dir())
"""Kinds of plugin that can be written."""
SUFFIX = ".template"
VALID = re.compile(r"[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]")
"""What may name a distribution (core metadata specification)."""


def write_plugin(name: str, kind: str, folder: Path) -> list[Path]:
    """Write a plugin called `name` into the new folder `folder/name`; its files. Raises UsageError, and leaves nothing.

    name: of the distribution, with or without `zoo-` in front.
    """
    files = plugin_files(name, kind)
    _refuse_clashes(words(name, kind))
    target, part = folder / name, folder / f".part-{name}"
    try:
        if target.exists() or target.is_symlink():
            raise UsageError(f"'{target}' exists and is left as it is; choose another name or another folder")
        shutil.rmtree(part, ignore_errors=True)
        for path, text in files.items():
            (part / path).parent.mkdir(parents=True, exist_ok=True)
            (part / path).write_text(text, encoding="utf-8")
        part.rename(target)
    except OSError as error:
        raise UsageError(f"'{target}' cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return [target / path for path in files]


def plugin_files(name: str, kind: str) -> dict[str, str]:
    """Path in the plugin's folder -> text, of every file of a new plugin. Raises UsageError for a name or kind."""
    given = words(name, kind)
    return {
        _filled(template.relative_to(folder).as_posix().removesuffix(SUFFIX), given): _filled(
            template.read_text(encoding="utf-8"), given
        )
        for folder in (TEMPLATES / "package", TEMPLATES / kind)
        for template in sorted(folder.rglob(f"*{SUFFIX}"))
    }


def _filled(text: str, given: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda blank: given[blank[1]], text)


def words(name: str, kind: str) -> dict[str, str]:
    """What templates may say of a plugin, all made from its name and kind. Raises UsageError."""
    if kind not in SCAFFOLDS:
        raise UnknownName("kind of plugin", kind, SCAFFOLDS)
    if not VALID.fullmatch(name):
        better = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        hint = f" Try: zoo plugin new {better} --kind {kind}" if better else ""
        raise UsageError(f"{name!r} cannot name a package: letters and digits, with - _ or . between them.{hint}")
    short = re.sub(r"[-_.]+", "-", name).lower().removeprefix("zoo-")
    module, identifier = f"zoo_{short.replace('-', '_')}", _identifier(short, kind)
    recipe, what, entry_point = short, f"recipe `{short}`", ""
    if kind != "recipe":
        recipe, what = f"fashion-mnist-{short}", f"{kind} `{short}`"
        entry_point = f'[project.entry-points."{KINDS[kind].group}"]\n{short} = "{module}.{kind}:{identifier}"\n\n'
    return {
        "dist": f"zoo-{short}",
        "module": module,
        "kind": kind,
        "name": short,
        "identifier": identifier,
        "recipe": recipe,
        "what": what,
        "entry_point": entry_point,
    }


def _identifier(short: str, kind: str) -> str:
    """A Python name for the part that neither Python nor the template needs otherwise: `Paw`, `paw`, `backbone_3d`."""
    camel = kind in ("head", "method")
    name = "".join(word.capitalize() for word in short.split("-")) if camel else short.replace("-", "_")
    sources = (TEMPLATES / kind).rglob(f"{kind}.py{SUFFIX}")
    taken = {word for source in sources for word in re.findall(r"\w+", source.read_text(encoding="utf-8"))}
    if name.isidentifier() and not keyword.iskeyword(name) and name not in taken:
        return name
    return f"{kind.capitalize()}{name}" if camel else f"{kind}_{name}"


def _refuse_clashes(given: Mapping[str, str]) -> None:
    """Raises UsageError where a part of whatever kind, a timm model, a recipe or a distribution has the name."""
    name = given["name"]
    owners = [
        *(str(part) for part in installed() if part.name == name and part.kind != "recipe"),
        *(f"model '{model}' of timm" for model in timm_models() if model == name.replace("-", "_")),
        *(f"recipe '{recipe.name}' of {recipe.owner}" for recipe in recipes() if recipe.name == given["recipe"]),
    ]
    with suppress(PackageNotFoundError):
        owners.append(f"the installed package {given['dist']} {version(given['dist'])}")
    if owners:
        better = f"zoo plugin new my-{name} --kind {given['kind']}"
        raise UsageError(f"the name '{name}' is taken by {owners[0]}. Choose another, as in: {better}")
