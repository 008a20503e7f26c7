"""Parameter groups of a classifier: its stages in order from stem to head, every parameter in exactly one.

What a foreign head leaves idle (the norm of timm's own head, say) is in none, so it never trains.
"""

import re
from collections.abc import Set

from timm.models import group_parameters
from torch import nn

from zoo.contracts import HEAD
from zoo.models.backbone import classifier_prefixes
from zoo.models.classifier import Classifier, idle_parameters

Groups = dict[str, tuple[str, ...]]


def parameter_groups(model: nn.Module, image_size: int, in_chans: int = 3) -> Groups:
    """Group name -> parameter names: `stem`, `stage1`, ..., `head`, of a model for such images.

    Stages are timm's (`group_matcher(coarse=True)`); where a backbone has none they are derived from its children.
    """
    if isinstance(model, Classifier):
        stages = _stages(model.backbone, idle_parameters(model, image_size, in_chans))
        groups = {group: tuple(f"backbone.{name}" for name in names) for group, names in stages.items()}
        head = tuple(f"head.{name}" for name, _ in model.head.named_parameters())
    else:
        prefixes = classifier_prefixes(model)
        head = tuple(name for name, _ in model.named_parameters() if name.startswith(prefixes))
        groups = _stages(model, frozenset(head))
    return {**groups, HEAD: head}


def _stages(backbone: nn.Module, without: Set[str]) -> Groups:
    try:
        layers = group_parameters(backbone, backbone.group_matcher(coarse=True))
        ordered = [layers[key] for key in sorted(layers)]
    except (AttributeError, AssertionError, TypeError, KeyError):
        ordered = _derived(backbone)
    kept = [[name for name in names if name not in without] for names in ordered]
    names = ("stem" if i == 0 else f"stage{i}" for i in range(len(kept)))
    return {group: tuple(members) for group, members in zip(names, filter(None, kept), strict=False)}


def _derived(backbone: nn.Module) -> list[list[str]]:
    """Children in the order they are registered; containers such as `stages` count child by child.

    Parameters that hang on the model itself (`pos_embed`, `cls_token`) belong to the stem.
    """
    ordered: dict[str, list[str]] = {}
    loose: list[str] = []
    for name, _ in backbone.named_parameters():
        stage = re.match(r"(\w+\.\d+|\w+)\.", name)
        if stage:
            ordered.setdefault(stage[1], []).append(name)
        else:
            loose.append(name)
    stages = list(ordered.values()) or [[]]
    return [loose + stages[0], *stages[1:]]
