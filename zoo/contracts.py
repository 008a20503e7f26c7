"""The plugin contract, version 1: what a backbone, a head and a freezing schedule are.

Letters: B batch, C channels, H and W height and width, N tokens, D features, K classes.
Nothing here imports torch, so a schedule can be written, printed and tested without it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

API_VERSION = 1
HEAD = "head"
"""Name of the last group: the parameters that map features to logits."""


@dataclass(frozen=True)
class FeatureInfo:
    """What a head receives from `backbone.forward_features`.

    channels: width C or D of the feature map.
    layout: `NCHW` (B, C, H, W), `NHWC` (B, H, W, C), `NLC` (B, N, D) or `NC` (B, C), already pooled.
    size: (H, W) of the map, (N,) for tokens including prefix tokens, () when pooled.
    prefix_tokens: how many leading tokens (class, register) of `NLC` are not patches.
    """

    channels: int
    layout: Literal["NCHW", "NHWC", "NLC", "NC"]
    size: tuple[int, ...] = ()
    prefix_tokens: int = 0


@dataclass(frozen=True)
class Phase:
    """A stretch of training with one set of trainable groups.

    epochs: how many passes over the training data.
    trainable: names of the groups whose weights move; all other groups are frozen, statistics included.
    lr_scale: learning-rate factor per group on top of `optim.lr`; a group not named has 1.
    freeze_bn_stats: keep batch-norm statistics fixed in groups that train; None follows `train.freeze_bn_stats`.
    """

    epochs: int
    trainable: tuple[str, ...]
    lr_scale: Mapping[str, float] = field(default_factory=dict)
    freeze_bn_stats: bool | None = None


class Schedule(Protocol):
    """Entry-point group `zoo.schedules`: a pure function from groups to phases."""

    def __call__(self, groups: tuple[str, ...], epochs: int, **options: Any) -> tuple[Phase, ...]:
        """groups: names from stem to head, the last is `head`. epochs: the recipe's `train.epochs`.

        Returns phases whose epochs add up to `epochs`. Raises ValueError for options that make no sense.
        """


class Head(Protocol):
    """Entry-point group `zoo.heads`: builds the module that reads an unpooled feature map."""

    def __call__(self, features: FeatureInfo, num_classes: int, **options: Any) -> "nn.Module":
        """Returns a module that maps features, laid out as `features` says, to logits (B, K)."""


class Backbone(Protocol):
    """Entry-point group `zoo.backbones`: builds a model that follows timm's own model interface.

    That is: `num_features`, `forward_features`, `forward_head(x, pre_logits=)`, `get_classifier`,
    `reset_classifier`, `pretrained_cfg`, and `group_matcher` where there is one (else groups are derived).
    """

    def __call__(self, *, pretrained: "bool | str | Path", in_chans: int = 3, **options: Any) -> "nn.Module":
        """pretrained: False, True for the plugin's own weights, or a safetensors file."""
