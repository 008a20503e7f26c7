"""What a stranger's config.json may say. Nothing is built from it before it was held against the weights."""

import json
import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.config.recipe import Model, Named
from zoo.config.renamed import rename_model_keys
from zoo.errors import ModelError, UsageError, did_you_mean
from zoo.plugins import find, find_backbone
from zoo.tasks.rule import read_rule
from zoo.timm_index import timm_models

LARGEST = 4096
"""Whole numbers in options, and pixels, may be this large whatever the weights hold."""
LONGEST = 256
"""Most values in one option."""
FORBIDDEN = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "features_only")
"""Options of timm's `create_model` that are not the architecture's own."""
ELSEWHERE = ("state_dict", "custom_load", "hf_hub_filename")
"""Keys of `pretrained_cfg` that would load something else than the weights beside it."""
SCALARS = int | float | str | None


class Refused(Exception):
    """Why a configuration is not built."""


def check(folder: Path, repo: str) -> None:
    """Raises ModelError for a config.json that its weights do not bear out, or that asks for what no model needs."""
    shapes = [shape for file in sorted(folder.glob("*.safetensors")) for shape in _shapes(file, repo)]
    largest = max([LARGEST, *(side for shape in shapes for side in shape)])
    try:
        config = _read(folder / "config.json")
        about = _mapping(config, "zoo")
        _check_pictures(about, _mapping(config, "pretrained_cfg"))
        classes = about.get("classes", config.get("label_names")) or []
        _check_classes(classes)
        _check_rule(about, len(classes))
        _check_numbers({key: config.get(key) for key in ("num_classes", "num_features")}, largest)
        _check_options(_mapping(config, "model_args"), largest)
        if about:
            _check_parts(_spec(about), about, largest)
        else:
            _check_backbone(f"timm:{config.get('architecture')}")
    except Refused as why:
        raise ModelError(f"config.json of {repo} is refused: {why}") from None


def _read(path: Path) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise Refused(f"it holds {constant}")

    try:
        config = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise Refused(f"it is no JSON ({type(error).__name__})") from None
    if not isinstance(config, dict):
        raise Refused("it is no mapping")
    return config


def _mapping(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = config.get(key)
    if not isinstance(value, dict | None):
        raise Refused(f"{key} is {_shown(value)} instead of a mapping")
    return value or {}


def tensor_shapes(path: Path) -> list[tuple[int, ...]]:
    """Of every tensor in a safetensors file, from its header alone. Raises what the library raises for a damaged one."""
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        return [tuple(file.get_slice(name).get_shape()) for name in file.keys()]  # noqa: SIM118


def _shapes(path: Path, repo: str) -> list[tuple[int, ...]]:
    try:
        return tensor_shapes(path)
    except Exception as error:
        raise ModelError(f"{path.name} of {repo} is damaged: {error}") from None


def _spec(about: Mapping[str, Any]) -> Model:
    """The model that a `zoo` section describes, types checked."""
    about = rename_model_keys(about)
    try:
        return Model(
            pretrained=False,
            head=Named(**_mapping(about, "head")),
            **{
                key: about[key]
                for key in ("backbone", "options", "in_chans", "top", "insert", "cut", "concat")
                if key in about
            },
        )
    except (ValueError, TypeError) as error:
        fault = error.errors()[0] if hasattr(error, "errors") else {"loc": ("head",), "msg": error}
        raise Refused(f"zoo.{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None


def _check_parts(spec: Model, about: Mapping[str, Any], largest: int) -> None:
    for name in (spec.backbone, *spec.concat):
        _check_backbone(name)
    try:
        find("head", spec.head.name)
    except UsageError as error:
        owner = spec.head.name.rpartition(":")[0]
        raise Refused(f"{error} If a plugin has it and you trust it: pip install {owner or 'that plugin'}") from None
    _check_options(spec.options, largest)
    _check_options(spec.head.options, largest)
    _check_numbers({"insert": spec.insert, "outputs": about.get("outputs")}, largest)


def _check_backbone(name: str) -> None:
    """Only what timm has, and what an installed plugin registers."""
    owner, _, bare = name.rpartition(":")
    if owner in ("local-dir", "hf-hub") or "/" in name:
        raise Refused(f"the backbone {_shown(name)} would be fetched from elsewhere")
    if owner in ("", "timm") and bare.partition(".")[0] not in timm_models():
        raise Refused(f"timm has no architecture {_shown(bare)}.{did_you_mean(bare, timm_models())}")
    try:
        find_backbone(name)
    except UsageError:
        raise Refused(f"the backbone {_shown(name)} is a plugin's. If you trust it: pip install {owner}") from None


def _check_options(options: Mapping[str, Any], largest: int) -> None:
    """Options must be plain values, and no number larger than anything in the weights."""
    for key in options:
        if not key.isidentifier() or key in FORBIDDEN:
            raise Refused(f"{_shown(key)} is no option of an architecture")
    _check_numbers(options, largest)


def _check_numbers(values: Mapping[str, Any], largest: int) -> None:
    for key, value in values.items():
        flat = list(_flat(value, 3))
        if len(flat) > LONGEST or not all(isinstance(one, SCALARS) for one in flat):
            raise Refused(f"{key} holds {_shown(value)}")
        for number in flat:
            if isinstance(number, int | float) and not -largest <= number <= largest:
                raise Refused(f"{key}={_shown(number)} is larger than anything in its weights ({largest})")


def _flat(value: Any, depth: int) -> Iterator[Any]:
    if not isinstance(value, list) or not depth:
        yield value
        return
    for one in value:
        yield from _flat(one, depth - 1)


def _check_classes(classes: Any) -> None:
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise Refused("the classes are not a list of names")
    for name in classes:
        if any(unicodedata.category(char) == "Cc" for char in name):
            raise Refused(f"the class name {_shown(name)} holds control characters")


def _check_rule(about: Mapping[str, Any], classes: int) -> None:
    try:
        read_rule(about, classes)
    except ModelError as error:
        raise Refused(str(error).removeprefix("config.json: ")) from None


def _check_pictures(about: Mapping[str, Any], cfg: Mapping[str, Any]) -> None:
    """Sizes within bounds, means and deviations that are numbers."""
    if strange := [key for key in ELSEWHERE if cfg.get(key)]:
        raise Refused(f"pretrained_cfg.{strange[0]} would load something else")
    for where in (about, cfg):
        size = where.get("image_size", where.get("input_size", [3, 224, 224]))
        sides = size if isinstance(size, list) else [size]
        if not sides or not all(isinstance(side, int) and 1 <= side <= LARGEST for side in sides):
            raise Refused(f"images of {_shown(size)} px (at most {LARGEST})")
        crop = where.get("crop_pct", 1.0)
        if not isinstance(crop, int | float) or not 0 < crop <= 2 or max(sides) / crop > LARGEST:
            raise Refused(f"crop_pct={_shown(crop)}")
        for key in ("mean", "std"):
            values = where.get(key, [0.5])
            if not _are_numbers(values) or (key == "std" and not all(values)):
                raise Refused(f"{key}={_shown(values)}")


def _are_numbers(values: Any) -> bool:
    return (
        isinstance(values, Sequence)
        and len(values) in (1, 3)
        and all(isinstance(value, int | float) and math.isfinite(value) for value in values)
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
