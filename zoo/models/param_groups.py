"""Parameter groups of a classifier: its stages in order from stem to head, every parameter in exactly one.

What a foreign head leaves idle (the norm of timm's own head, say) is in none, so it never trains.
"""

import re
from collections.abc import Set
from itertools import chain, zip_longest

from timm.models import group_parameters
from torch import nn

from zoo.contracts import HEAD
from zoo.models.backbone import classifier_prefixes
from zoo.models.classifier import Classifier, idle_parameters
from zoo.models.transfer import ConcatBackbones, Wrapped

Groups = dict[str, tuple[str, ...]]


def parameter_groups(model: nn.Module, image_size: int, in_chans: int = 3, fixed: Set[str] = frozenset()) -> Groups:
    """Group name -> parameter names: `stem`, `stage1`, ..., `head`, of a model for such images.

    Stages are timm's (`group_matcher(coarse=True)`); where a backbone has none they are derived from its children.
    fixed: parameters that never train whatever the schedule says, as those below an adapter.
    """
    if isinstance(model, Classifier):
        idle = {f"backbone.{name}" for name in idle_parameters(model, model.backbone, image_size, in_chans)}
        stages = [[f"backbone.{name}" for name in stage] for stage in _stages(model.backbone)]
        head = [f"head.{name}" for name, _ in model.head.named_parameters()]
    else:
        prefixes = classifier_prefixes(model)
        head = [name for name, _ in model.named_parameters() if name.startswith(prefixes)]
        idle, stages = set(head), _stages(model)
        if fixed:  # a layer that reads an adapted weight past its adapter leaves the adapter idle
            idle |= idle_parameters(model, model, image_size, in_chans)
    without = idle | (fixed - set(head))
    kept = filter(None, ([name for name in stage if name not in without] for stage in stages))
    return {**{f"stage{i}" if i else "stem": tuple(stage) for i, stage in enumerate(kept)}, HEAD: tuple(head)}


def _stages(backbone: nn.Module) -> list[list[str]]:
    """Parameter names by stage, from the bottom up; those of backbones side by side joined from the top down."""
    if isinstance(backbone, Wrapped):
        return [[f"backbone.{name}" for name in stage] for stage in _stages(backbone.backbone)]
    if isinstance(backbone, ConcatBackbones):
        sides = [
            [[f"members.{i}.{name}" for name in stage] for stage in reversed(_stages(member))]
            for i, member in enumerate(backbone.members)
        ]
        return [list(chain(*level)) for level in zip_longest(*sides, fillvalue=())][::-1]
    try:
        layers = group_parameters(backbone, backbone.group_matcher(coarse=True))
        return [layers[key] for key in sorted(layers)]
    except (AttributeError, AssertionError, TypeError, KeyError):
        return _derived(backbone)


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
