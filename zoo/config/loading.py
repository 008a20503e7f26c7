"""YAML + `key=value` overrides -> Recipe. Every fault at once, each with file, line, key and the nearest right name."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from zoo.config import yaml12
from zoo.config.catalog import find_recipe
from zoo.config.recipe import AUTO, Named, Part, Recipe, Section, sections
from zoo.config.renamed import RENAMED, is_stored, rename_keys
from zoo.contracts import HEAD
from zoo.errors import RecipeError, UsageError, ZooError, did_you_mean, nearest
from zoo.plugins import KINDS, OWN, find, find_backbone, resolve
from zoo.plugins.signature import signature
from zoo.schedules.planning import planned

COMMAND_LINE = "command line"


def default_name(path: tuple[str, ...]) -> str | None:
    """Name of the part that a recipe has under this key if it says nothing; None if it must say, or has none then."""
    fields = Recipe.model_fields
    for key in path[:-1]:
        fields = fields[key].annotation.model_fields
    default = fields[path[-1]].default
    default = default.name if isinstance(default, Named) else default
    return default if isinstance(default, str) else None


PARTS = {kind.path: kind.name for kind in KINDS.values() if kind.key and not kind.options_key}
"""Keys that hold a part's name together with its options."""
USUAL_LOSS = "cross-entropy"
"""What `train.loss: auto` is for most tasks; its options are checked as this one's."""
UNNAMED = {path: USUAL_LOSS if name == AUTO else name for path in PARTS if (name := default_name(path))}


def load_recipe(name: str, overrides: Iterable[str] = ()) -> Recipe:
    """The recipe called `name` (or in the file `name`) with `key=value` overrides. Raises RecipeError: all faults."""
    path = find_recipe(name)
    return read_recipe(path, overrides, stored=is_stored(path))


def read_stored_recipe(path: Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read the recipe of a run folder or a repository, also one that an earlier version wrote. Raises RecipeError."""
    return read_recipe(path, overrides, stored=True)


def read_recipe(path: Path, overrides: Iterable[str] = (), stored: bool = False) -> Recipe:
    """The recipe in a YAML file with `key=value` overrides. Raises RecipeError with all faults.

    stored: a run wrote the file, so keys that were renamed since are read under their names of today.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError([f"{path}: not UTF-8 text (byte {error.start}); save the recipe as UTF-8"]) from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    return parse_recipe(text, str(path), overrides, stored)


def parse_recipe(text: str, label: str, overrides: Iterable[str] = (), stored: bool = False) -> Recipe:
    """A recipe from YAML text; `label` names it in faults. stored: as in `read_recipe`.

    Raises RecipeError with all faults.
    """
    try:
        tree, lines = yaml12.parse(text)
    except yaml12.YamlFault as fault:
        raise RecipeError([f"{label}:{fault.line}: {fault}"]) from None
    if not isinstance(tree, dict):
        found = "nothing" if tree is None else f"a {'list' if isinstance(tree, list) else 'value'}"
        raise RecipeError([f"{label}: a recipe is a mapping with the keys model and data, found {found}"])
    tree = rename_keys(tree) if stored else tree
    where = {path: f"{label}:{line}" for path, line in lines.items()}
    # The whole before its parts, and a part's name before its options, whatever order they were typed in.
    for path, value in sorted(
        _overrides(overrides), key=lambda item: (len(item[0]), item[0][-1] not in ("name", "source"))
    ):
        _put(tree, path, value)
        where = {p: line for p, line in where.items() if p[: len(path)] != path}
        for length in range(1, len(path) + 1):
            where.setdefault(path[:length], COMMAND_LINE)
    return _recipe(tree, where, label)


def read_data(overrides: Iterable[str]) -> Recipe:
    """A recipe of which only the data, given by overrides, matters: for models that come without a run."""
    return parse_recipe("{model: {backbone: timm:resnet18}, data: {}}", COMMAND_LINE, overrides)


def _overrides(pairs: Iterable[str]) -> list[tuple[tuple[str, ...], Any]]:
    """`a.b=value` -> (("a", "b"), value), the value read as YAML."""
    result = []
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not all(key.split(".")):
            raise UsageError(f"'{pair}' is not an override. Write key=value, as in data.limit=512")
        try:
            value, _ = yaml12.parse(text)
        except yaml12.YamlFault as fault:
            raise RecipeError([f"{COMMAND_LINE}: {key}: {fault}"]) from None
        result.append((tuple(key.split(".")), value))
    return result


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set one key; a part under a new name starts with that part's own defaults."""
    for depth, key in enumerate(path[:-1], 1):
        inner = tree.get(key, UNNAMED.get(path[:depth]))
        if isinstance(inner, str) and path[:depth] in PARTS:
            inner = {"name": inner}
        tree[key] = tree = dict(inner) if isinstance(inner, Mapping) else {}
    if path[-1] == "name" and path[:-1] in PARTS and tree.get("name") != value:
        tree.clear()
    if path == ("data", "source") and tree.get("source") != value:
        tree.pop("options", None)
    tree[path[-1]] = value


def _recipe(tree: dict[str, Any], where: Mapping[tuple, str], label: str) -> Recipe:
    recipe, faults = None, []
    try:
        recipe = Recipe.model_validate(tree)
    except ValidationError as error:
        faults = [(path, _sentence(*same)) for path, same in groupby(error.errors(), lambda e: _user_path(e["loc"]))]
    faults += [*_part_faults(tree), *_faults_beside_options(tree), *_transfer_faults(tree)]
    if recipe is not None and not faults:
        faults = list(_schedule_faults(recipe))
    if faults or recipe is None:
        raise RecipeError(f"{_place(path, where, label)}: {'.'.join(path)}: {text}" for path, text in faults)
    return recipe


def _place(path: tuple, where: Mapping[tuple, str], label: str) -> str:
    """The nearest known place of a key: its own line, else its parent's."""
    for length in range(len(path), 0, -1):
        if path[:length] in where:
            return where[path[:length]]
    return label


def _user_path(loc: tuple) -> tuple[str, ...]:
    """pydantic's location without the names of union members."""
    path: list[str] = []
    model: Any = Recipe
    for part in loc:
        if isinstance(model, type) and issubclass(model, BaseModel) and part in model.model_fields:
            model = model.model_fields[part].annotation
            model = Named if model == Part | None else model
        elif path and model is not Named and not (isinstance(model, type) and issubclass(model, BaseModel)):
            break
        path.append(str(part))
    return tuple(path)


def _elsewhere(name: str) -> str:
    """' Did you mean SECTION.name?' where one section has a key of this name, else ''."""
    keys = [key for key, _, _ in sections(Recipe) if key.rpartition(".")[2] == name]
    return f" Did you mean '{keys[0]}'?" if len(keys) == 1 else ""


def _sentence(error: Mapping[str, Any], *others: Mapping[str, Any]) -> str:
    """What is wrong with one key in the user's words; `others`: pydantic's errors for further members of a union."""
    kind, context, found = error["type"], error.get("ctx", {}), error["input"]
    if kind == "extra_forbidden":
        if new := RENAMED.get(tuple(map(str, error["loc"]))):
            return f"unknown key. It is called '{'.'.join(new)}' now"
        name, known = str(error["loc"][-1]), _keys_beside(error["loc"])
        hint = nearest(name, known) or _elsewhere(name) or did_you_mean(name, known)
        return f"unknown key.{hint or ' See them all: zoo show --schema'}"
    if kind == "missing":
        return "missing, and it has no default. See zoo show --schema"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"expected a mapping (key: value), found {found!r}"
    expected = " or ".join(
        e["msg"].removeprefix("Input should be ").removeprefix("Value error, ") for e in (error, *others)
    )
    choices = context["expected"].replace(" or ", ", ").replace("'", "").split(", ") if kind == "literal_error" else []
    hint = nearest(found, choices) if isinstance(found, str) else ""
    return f"expected {expected}, found {found!r}{'.' + hint if hint else ''}"


def _keys_beside(loc: tuple) -> list[str]:
    model: Any = Recipe
    for part in loc[:-1]:
        model = model.model_fields[part].annotation
    return list(model.model_fields) if issubclass(model, Section) else []


def _part_faults(tree: Mapping[str, Any]) -> Iterable[tuple[tuple[str, ...], str]]:
    """Names and options of parts that nothing carries; a part that is not named is checked too, for clashes."""
    for path, kind in PARTS.items():
        spec: Any = tree
        for key in path[:-1]:
            spec = spec.get(key, {}) if isinstance(spec, Mapping) else None
        spec = spec.get(path[-1], UNNAMED.get(path)) if isinstance(spec, Mapping) else None
        spec = {"name": spec} if isinstance(spec, str) else spec
        if not isinstance(spec, Mapping) or not isinstance(name := spec.get("name"), str):
            continue
        options = {key: value for key, value in spec.items() if key != "name"}
        name = UNNAMED[path] if (path, name) == (("train", "loss"), AUTO) else name
        try:
            faults = signature(find(kind, name)).faults(f"{kind} '{name}'", options)
        except ZooError as error:
            yield (*path, "name"), str(error)
        else:
            yield from (((*path, option), text) for option, text in faults)


def _faults_beside_options(tree: Mapping[str, Any]) -> Iterable[tuple[tuple[str, ...], str]]:
    """The same of parts whose options stand beside their names; those of timm are checked when they are built."""
    for kind in (kind for kind in KINDS.values() if kind.options_key):
        section, key = kind.path
        spec = tree.get(section, {})
        if not isinstance(spec, Mapping) or not isinstance(name := spec.get(key, default_name(kind.path)), str):
            continue
        options = spec.get("options") or {}
        if not name.startswith(kind.prefix):
            if options:
                fault = f"only a plugin's {kind.name} has options ({kind.key}: {kind.prefix}NAME), not '{name}'"
                yield (section, "options"), fault
            continue
        try:
            plugin = resolve(kind.name, name.removeprefix(kind.prefix))
            checked = plugin is not None and isinstance(options, Mapping)
            faults = signature(plugin).faults(f"{kind.name} '{name}'", options) if checked else []
        except ZooError as error:
            yield (section, key), str(error)
        else:
            yield from (((section, "options", option), text) for option, text in faults)


def _schedule_faults(recipe: Recipe) -> Iterable[tuple[tuple[str, ...], str]]:
    """What one of the zoo's own schedules refuses whatever the model: few groups and many get the same sentence."""
    plugin, spec = find("schedule", recipe.schedule.name), recipe.schedule
    if plugin.owner != OWN:
        return
    said = set()
    for stages in (8, 100):
        groups = ("stem", *(f"stage{i}" for i in range(stages)), HEAD)
        try:
            planned(plugin, {group: (group,) for group in groups}, recipe.train.epochs, spec.options)
        except UsageError as error:
            said.add(str(error).removeprefix("schedule: "))
        else:
            return
    if len(said) == 1:
        yield ("schedule",), said.pop()


def _transfer_faults(tree: Mapping[str, Any]) -> Iterable[tuple[tuple[str, ...], str]]:
    """Ways of transfer that do not go together, and names of further backbones that nothing carries."""
    model = tree.get("model")
    if not isinstance(model, Mapping):
        return
    top, concat = model.get("top", "replace"), model.get("concat") or []
    if top == "keep" and model.get("head", "linear") not in ("linear", {"name": "linear"}):
        yield ("model", "head"), "model.top=keep keeps the backbone's own classifier; leave model.head out"
    for key in ("cut", "concat"):
        if model.get(key) and top != "replace":
            yield ("model", key), f"goes with model.top=replace only, found '{top}': no classifier is left to {top}"
    if model.get("cut") and concat:
        yield ("model", "cut"), "cannot be combined with model.concat"
    if model.get("adapter") and concat:
        yield ("model", "adapter"), "adapts one backbone and cannot be combined with model.concat"
    for name in concat if isinstance(concat, list) else []:
        try:
            if isinstance(name, str) and find_backbone(name) is None and name.startswith(("local-dir:", "hf-hub:")):
                yield ("model", "concat"), f"takes timm names and plugin backbones, found '{name}'"
        except ZooError as error:
            yield ("model", "concat"), str(error)


def dump_recipe(recipe: Recipe) -> str:
    """YAML that loads as the same recipe; every key is written."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes text that YAML 1.2 would read as something else."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
        quote = "'" if yaml12.scalar(value) != value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=quote)

    Dumper.add_representer(str, text)
    return yaml.dump(recipe.model_dump(), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
