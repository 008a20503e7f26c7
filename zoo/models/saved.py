"""A model folder: what training leaves, what plain timm loads, what `load` gives back whole.

config.json          timm's layout, plus a `zoo` section: head, image size, how the backbone is built
model.safetensors    the timm model; with a head that timm does not have, its backbone alone (cut, or several, where so asked)
head.safetensors     that head
README.md            model card
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file
from timm.models._hub import save_config_for_hf
from torch import nn

from zoo.config.recipe import Model, Named, Recipe
from zoo.config.renamed import rename_model_keys
from zoo.contracts import API_VERSION
from zoo.data.image_store import EvalTransform
from zoo.data.loader import Normalise
from zoo.errors import ModelError, nearest
from zoo.hub.download import local
from zoo.hub.verify_config import tensor_shapes
from zoo.models.backbone import config, one_line, read_safetensors
from zoo.models.classifier import Classifier, build_classifier
from zoo.models.names import without_folders
from zoo.models.predictor import ImageClassifier
from zoo.models.transfer import ConcatBackbones, TruncatedBackbone, Wrapped, innermost
from zoo.plugins import find, find_backbone
from zoo.storage.atomic import whole_folder
from zoo.tasks.rule import IDENTITY, Rule, read_rule
from zoo.tasks.task import find_task
from zoo.timm_index import timm_models

SLACK = 100_000_000
"""Numbers that a model may have beyond its weights' before it is not even built; the real comparison comes later."""
PROBLEM_TYPES = {"multilabel": "multi_label_classification"}
"""What transformers calls a task whose classes do not exclude each other, in `config.json`."""


def save_model(
    folder: Path,
    model: nn.Module,
    recipe: Recipe,
    classes: Sequence[str],
    view: EvalTransform,
    normalise: Normalise,
    card: Callable[[Mapping[str, Any]], str],
    task: str = "multiclass",
    rule: Rule = IDENTITY,
) -> None:
    """Write the model folder as a whole: made beside, flushed, renamed. Raises DiskFull, RunError.

    card: makes the model card from what `config.json` holds; task: its name; rule: how the model decides.
    """
    with whole_folder(folder, state_bytes(model)) as part:
        write_weights(part, model)
        config = _config(part / "config.json", model, recipe, classes, view, normalise)
        config["zoo"] |= {"task": task, **({"rule": rule.as_dict()} if rule != IDENTITY else {})}
        config |= {"problem_type": PROBLEM_TYPES[task]} if task in PROBLEM_TYPES else {}
        (part / "config.json").write_text(json.dumps(config, indent=2))
        (part / "README.md").write_text(card(config), encoding="utf-8")


def state_bytes(model: nn.Module) -> int:
    """Bytes of all weights and statistics of a model."""
    return sum(t.numel() * t.element_size() for t in model.state_dict().values())


def write_weights(folder: Path, model: nn.Module) -> None:
    """Its weights as safetensors files in a folder."""
    for name, module in _parts(model).items():
        tensors = {k: v.detach().cpu().contiguous().clone() for k, v in module.state_dict().items()}
        save_file(tensors, folder / f"{name}.safetensors", metadata={"format": "pt"})


def _parts(model: nn.Module) -> dict[str, nn.Module]:
    """What goes into which file; of a wrapped timm model its own weights, under timm's names."""
    if not isinstance(model, Classifier):
        return {"model": model}
    backbone = model.backbone
    return {"model": backbone.backbone if isinstance(backbone, Wrapped) else backbone, "head": model.head}


def _config(
    path: Path, model: nn.Module, recipe: Recipe, classes: Sequence[str], view: EvalTransform, normalise: Normalise
) -> dict[str, Any]:
    """What `config.json` says: timm's keys, written by timm to `path`, and the `zoo` section."""
    backbone, how = innermost(_parts(model)["model"]), image_settings(view, normalise)
    labels = {"label_names": list(classes)} if backbone is model else {}
    save_config_for_hf(backbone, str(path), model_config=labels, data_config=how)
    written = json.loads(path.read_text())
    written.get("model_args", {}).pop("num_classes", None)  # timm finds it beside; transformers would be given it twice
    name, options = _rebuildable(recipe.model, written)
    if readable_by_timm(model) == "nothing":
        written["architecture"] = "zoo-only"  # so that plain timm refuses instead of loading a part
    written["zoo"] = {
        "contract": API_VERSION,
        "task": "multiclass",
        "timm": readable_by_timm(model) if written["architecture"] in timm_models() else "nothing",
        "base": _bases(model, recipe.model),
        "backbone": name,
        "options": options,
        "in_chans": view.channels,
        "head": {"name": find("head", recipe.model.head.name).full_name, **recipe.model.head.options},
        **recipe.model.model_dump(include={"top", "insert", "cut", "concat"}),
        "outputs": {"replace": None, "keep": len(classes), "stack": backbone.num_classes}[recipe.model.top],
        "classes": list(classes),
        "image_size": view.size,
        "crop_pct": view.crop_pct,
        "mean": list(normalise.mean),
        "std": list(normalise.std),
    }
    return written


def image_settings(view: EvalTransform, normalise: Normalise) -> dict[str, Any]:
    """How a picture becomes an input, in the words of timm's configurations."""
    return {
        "input_size": (view.channels, view.size, view.size),
        "crop_pct": view.crop_pct,
        "crop_mode": "center",
        "interpolation": "bicubic",
        "mean": normalise.mean,
        "std": normalise.std,
    }


def _bases(model: nn.Module, spec: Model) -> list[dict[str, Any]]:
    """Each backbone's name, and where its weights came from: Hub id and licence, None where not known."""
    backbone = _parts(model)["model"]
    models = [member.backbone for member in backbone.members] if isinstance(backbone, ConcatBackbones) else [backbone]
    bases = []
    for name, one in zip([spec.backbone, *spec.concat], models, strict=True):
        cfg, own = config(one), spec.pretrained is True
        weights = "pretrained" if own else "file" if spec.pretrained else "random"
        known = {"hub_id": cfg.get("hf_hub_id"), "license": cfg.get("license")} if own else {}
        bases.append({"name": without_folders(name), "weights": weights, "hub_id": None, "license": None, **known})
    return bases


def readable_by_timm(model: nn.Module) -> str:
    """What plain timm loads from the saved folder: the whole `model`, its `features`, or `nothing`."""
    if not isinstance(model, Classifier):
        return "model"
    return "nothing" if isinstance(model.backbone, ConcatBackbones | TruncatedBackbone) else "features"


def _rebuildable(spec: Model, written: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A backbone name and options that do not hang on a folder or a repository."""
    plugin = find_backbone(spec.backbone)
    if plugin is not None:
        return plugin.full_name, spec.options
    given = {k: v for k, v in written.get("model_args", {}).items() if k not in ("num_classes", "in_chans", "img_size")}
    return f"timm:{written['architecture']}", {**given, **spec.options}


def load(folder: str | Path) -> ImageClassifier:
    """The classifier in a run folder, a model folder or `hf-hub:user/name`, in eval mode on the CPU. Raises ModelError."""
    path = local(folder)
    if (path / "recipe.yaml").is_file() and not (path / "config.json").is_file():
        if not (path / "model" / "config.json").is_file():
            raise ModelError(f"the run '{path}' is not finished, it has no model yet. Go on with it: zoo resume {path}")
        path = path / "model"
    if not path.is_dir():
        siblings = [p.name for p in path.parent.iterdir() if p.is_dir()] if path.parent.is_dir() else []
        what = "is a file" if path.exists() else "does not exist"
        raise ModelError(
            f"'{folder}' {what}; name a run, a model folder or hf-hub:user/name.{nearest(path.name, siblings)}"
        )
    if not (path / "config.json").is_file():
        raise ModelError(f"'{folder}' is neither a run nor a model folder (no recipe.yaml, no config.json)")
    try:
        written = json.loads((path / "config.json").read_text(encoding="utf-8"))
        about = written.get("zoo")
        if not about and written.get("num_classes") == 0:
            raise no_classifier(path)
        loaded = _load_zoo(path, about) if about else _load_timm(path, written)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path / 'config.json'} is damaged: {type(error).__name__}: {one_line(str(error))}"
        ) from error
    loaded.model.eval()
    return loaded


def no_classifier(folder: Path) -> ModelError:
    """What is wrong with a folder of a backbone alone where a classifier is asked for."""
    return ModelError(
        f"'{folder}' holds a backbone without classifier, as zoo pretrain makes. "
        f"Train one on it: zoo finetune --recipe NAME model.backbone=local-dir:{folder}"
    )


def _load_zoo(path: Path, about: Mapping[str, Any]) -> ImageClassifier:
    about = rename_model_keys(about)
    spec = Model(
        backbone=about["backbone"],
        pretrained=False,
        options=about["options"],
        head=Named(**about["head"]),
        in_chans=about["in_chans"],
        **{key: about[key] for key in ("top", "insert", "cut", "concat") if key in about},
    )

    def build() -> nn.Module:
        return build_classifier(spec, len(about["classes"]), about["image_size"], False, about.get("outputs"))

    _check_size(build, path)
    model = build()
    for name, module in _parts(model).items():
        file = path / f"{name}.safetensors"
        _fill(module, read_safetensors(file), file)
    name, rule = read_rule(about, len(about["classes"]))
    view = EvalTransform(about["image_size"], about["crop_pct"], about["in_chans"])
    return ImageClassifier(
        model,
        tuple(about["classes"]),
        view,
        Normalise(tuple(about["mean"]), tuple(about["std"]), False),
        about,
        find_task(name),
        rule,
    )


def _check_size(build: Callable[[], nn.Module], path: Path) -> None:
    """Raises ModelError where `build` would make a far larger model than the weights are of; tried without any memory."""
    try:
        held = sum(math.prod(shape) for file in path.glob("*.safetensors") for shape in tensor_shapes(file))
        with torch.device("meta"):
            asked = sum(tensor.numel() for tensor in build().state_dict().values())
    except Exception:  # not every model can be built so; reading and building for real says better what is wrong
        return
    if asked > held + SLACK:
        raise ModelError(
            f"{path / 'config.json'} asks for a model of {asked:,} numbers, but its weights hold {held:,}; it is not built"
        )


def _fill(module: nn.Module, tensors: Mapping[str, torch.Tensor], file: Path) -> None:
    expected = module.state_dict()
    if strange := sorted(expected.keys() ^ tensors.keys()):
        raise ModelError(
            f"{file} does not fit its config.json: '{strange[0]}' is in one of them only ({len(strange)} such names)"
        )
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise ModelError(
                f"{file} does not fit its config.json: '{name}' is {tuple(tensor.shape)}, expected {tuple(expected[name].shape)}"
            )
    module.load_state_dict(tensors)


def _load_timm(path: Path, written: Mapping[str, Any]) -> ImageClassifier:
    read_safetensors(path / "model.safetensors")  # without it timm would look for a pickle
    _check_size(lambda: timm.create_model(f"local-dir:{path}"), path)
    try:
        model = timm.create_model(f"local-dir:{path}", pretrained=True)
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit its config.json: {one_line(str(error))}") from error
    names = written.get("label_names") or [str(i) for i in range(model.num_classes)]
    if len(names) != model.num_classes:
        raise ModelError(f"{path / 'config.json'} names {len(names)} classes, the weights have {model.num_classes}")
    return ImageClassifier.of_timm(model, names)
