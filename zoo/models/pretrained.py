"""`zoo.load`: a classifier by name, be it a run, a model folder, a Hub model, or a pretrained model that nobody fine-tuned."""

from collections import Counter
from pathlib import Path

from timm.data import ImageNetInfo

from zoo.config.recipe import Model
from zoo.errors import ModelError, UnknownName, nearest
from zoo.hub.download import PREFIX
from zoo.models.backbone import build_backbone
from zoo.models.predictor import ImageClassifier
from zoo.models.saved import load as load_folder
from zoo.plugins import find, find_backbone, installed
from zoo.timm_index import timm_models

PLUGIN = "plugin:"
"""Text before a backbone's name that says that a plugin brings it."""
OTHERS = (PREFIX, "local-dir:")
"""Beginnings of names that lead to a folder or to the Hub."""


def load(name: str | Path) -> ImageClassifier:
    """The classifier called `name`, in eval mode on the CPU. Raises ModelError, HubError, PluginError, UnknownName.

    name: a run folder, a model folder, `hf-hub:user/name`, or a backbone with ImageNet-1k weights: `lite0`,
    `plugin:lite0`, `timm:resnet50`. What exists as a file or folder is taken as one.
    """
    if backbone := backbone_of(name):
        return load_pretrained(backbone)
    try:
        return load_folder(name)
    except ModelError as error:
        if hint := _hidden(name):
            raise ModelError(f"{str(error).removesuffix('.')}. {hint}") from error
        raise


def _hidden(name: str | Path) -> str:
    """What to type for the backbone that a folder of the same name stands before; '' where there is none."""
    own = [plugin.full_name for plugin in installed("backbone") if plugin.name == str(name)]
    full_names = own + [f"timm:{name}"] * (str(name) in timm_models())
    return f"For the backbone of that name write {' or '.join(full_names)}" if full_names else ""


def backbone_of(name: str | Path) -> str | None:
    """The backbone's full name where `name` means one, None where it leads to a folder or to the Hub.

    Raises ModelError for a word that is neither, PluginError where a plugin and timm share the name, UnknownName.
    """
    if isinstance(name, Path) or "/" in name or name.startswith(OTHERS) or Path(name).exists():
        return None
    if name.startswith(PLUGIN):
        return find("backbone", name.removeprefix(PLUGIN)).full_name
    try:
        plugin = find_backbone(name)
    except UnknownName:
        raise ModelError(
            f"'{name}' is neither a run, a model folder nor a backbone.{nearest(name, _known())} "
            f"Name a folder, hf-hub:user/name, or a backbone (zoo list backbones)"
        ) from None
    return plugin.full_name if plugin else f"timm:{name.removeprefix('timm:')}"


def _known() -> list[str]:
    """Folders here and in `runs`, and every backbone."""
    folders = [str(path) for pattern in ("*", "runs/*") for path in sorted(Path().glob(pattern)) if path.is_dir()]
    return [*folders, *(plugin.name for plugin in installed("backbone")), *timm_models()]


def load_pretrained(backbone: str) -> ImageClassifier:
    """The backbone with its published weights and its own classifier of ImageNet's 1,000 classes.

    Raises ModelError for weights of other classes or that cannot be had, HubError, PluginError.
    """
    model = build_backbone(Model(backbone=backbone), None).eval()
    names = imagenet_names()
    if model.num_classes != len(names):
        raise ModelError(
            f"the pretrained '{backbone}' has {model.num_classes:,} classes, not ImageNet's {len(names):,}, the only ones "
            f"whose names are known. Train it first: zoo finetune --recipe images model.backbone={backbone} data.source=PATH"
        )
    return ImageClassifier.of_timm(model, names)


def imagenet_names() -> tuple[str, ...]:
    """Names of ImageNet-1k's classes in the order of a pretrained model's outputs, each one once.

    A name is WordNet's synonyms with commas between them. Where two classes share one, as the bird and the machine
    `crane` do, their WordNet numbers follow in parentheses. Source: `timm.data.ImageNetInfo`.
    """
    info = ImageNetInfo()
    names, numbers = info.label_descriptions(), info.label_names()
    count = Counter(names)
    return tuple(
        name if count[name] == 1 else f"{name} ({number})" for name, number in zip(names, numbers, strict=True)
    )
