"""The plugin contract, version 1: what a backbone, a head, a freezing schedule and the smaller parts are.

Letters: B batch, C channels, H and W height and width, N tokens, D features, K classes.
Nothing here imports torch, so a schedule can be written, printed and tested without it.
A plugin's module says which contract versions it was written for: `ZOO_CONTRACT = ">=1,<2"`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from datasets import DatasetDict
    from torch import Tensor, nn
    from torch.optim import Optimizer

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
    parameters: which parameters of the trainable groups move: `all`, or below the head only those of normalisation
        layers (`norm`) or only biases (`bias`); the head always moves whole.
    patience: end the phase after so many epochs without a better metric; None follows `train.early_stop.patience`.
    lr_schedule: shape of the learning rate within the phase; None follows `optim.lr_schedule`.
    """

    epochs: int
    trainable: tuple[str, ...]
    lr_scale: Mapping[str, float] = field(default_factory=dict)
    freeze_bn_stats: bool | None = None
    parameters: Literal["all", "norm", "bias"] = "all"
    patience: int | None = None
    lr_schedule: Literal["cosine", "linear", "constant"] | None = None


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


@dataclass(frozen=True)
class Adapted:
    """A model with an adapter in it. Parameters that `model` has and the original had not are what may train.

    model: what is trained, with the same logits as before as long as nothing has trained.
    merge: gives back a plain model without the adapter and with the same logits in eval mode, weights merged.
    """

    model: "nn.Module"
    merge: "Callable[[], nn.Module]"


class Adapter(Protocol):
    """Entry-point group `zoo.adapters`: puts a few new parameters into a backbone that stays as it came (LoRA)."""

    def __call__(self, backbone: "nn.Module", **options: Any) -> Adapted:
        """backbone: follows timm's model interface. Raises ValueError for options or models that do not fit."""


class Loss(Protocol):
    """Entry-point group `zoo.losses`: builds the function that training makes small."""

    def __call__(self, *, label_smoothing: float = 0.0, **options: Any) -> "Callable[[Tensor, Tensor], Tensor]":
        """Returns (logits (B, K), targets) -> loss per image (B,); targets are class indices (B,) or shares (B, K).

        With `task: multilabel` targets are labels (B, K) between 0 and 1. A factory, or what it returns, may say
        `per_class = True`: then the loss is (B, K), and the zoo leaves unknown labels out and takes the mean over the
        others; unknown ones are 0 in the targets. A factory with a parameter `task` gets the task's name, and one with
        an attribute `tasks` (names) is used for those only.
        """


class OptimizerFactory(Protocol):
    """Entry-point group `zoo.optimizers`: builds a torch optimiser by name (`optim.name`)."""

    def __call__(self, params: "Iterable[dict]", *, lr: float, weight_decay: float, **options: Any) -> "Optimizer":
        """params: torch parameter groups, each with its own `lr` and `weight_decay`."""


class Source(Protocol):
    """Entry-point group `zoo.sources`: gives images and labels by name (`data.source: plugin:NAME`)."""

    def __call__(self, **options: Any) -> "DatasetDict":
        """Returns splits with an `Image` column and a `ClassLabel` column."""


@dataclass(frozen=True)
class At:
    """Where training stands. A method's schedules and random numbers are functions of this, so that runs resume exactly.

    step: optimiser steps done so far in the whole run, from 0.
    steps: optimiser steps of the whole run, unless it stops early.
    epoch: number of the epoch, from 0, over all phases.
    batch: number of the batch within its epoch, from 0.
    """

    step: int
    steps: int
    epoch: int
    batch: int


@dataclass(frozen=True)
class Seen:
    """A process's share of a batch.

    inputs: augmented, normalised images (B, C, H, W); for methods that read features also what a frozen part gave.
    targets: as the task encodes them, int64 (B,) or float32 (B, K) with NaN for unknown; without meaning where the
        data have no labels.
    valid: float32 (B,), 1 for an image, 0 for one that repeats another to fill up a short last share.
    indices: int64 (B,) into the training images, on the CPU.
    """

    inputs: "Tensor"
    targets: "Tensor"
    valid: "Tensor"
    indices: "Tensor"


@dataclass(frozen=True)
class Given:
    """What a method may use besides the model.

    loss: the recipe's loss, (logits (B, K), targets) -> (B,), unknown labels left out; None where there are no labels.
    mix: mixup or CutMix, (inputs, targets, At) -> both mixed, targets as shares (B, K); None where the recipe has none.
    classes: K, 0 without labels.
    image_size: height and width of the images in pixels.
    channels: of the images, 1 or 3.
    seed: `train.seed`.
    """

    loss: "Callable[[Tensor, Tensor], Tensor] | None" = None
    mix: "Callable[[Tensor, Tensor, At], tuple[Tensor, Tensor]] | None" = None
    classes: int = 0
    image_size: int = 0
    channels: int = 3
    seed: int = 0


class Learner(Protocol):
    """What a method builds: a torch module that holds the model, and all of its own state as parameters and buffers.

    The module is wrapped whole by DDP, compiled, averaged and saved. Its own parameters that require gradients belong to
    the group `head`, so that freezing schedules, learning rates and weight decay apply to them.
    A learner with `classify(inputs) -> logits (B, K)` is validated by the task's metrics, any other by its loss.
    A learner with `reads_features = True` has `on_features(top) -> Learner`, for phases whose frozen part ran already.
    """

    model: "nn.Module"
    """The module that it was given, and what comes out of training."""

    def forward(self, seen: Seen, at: At) -> "Mapping[str, Tensor]":
        """`loss` (B,), one value per image, which the run weights and averages; further entries (B,) are logged as means.

        Random numbers come from torch's generator, which is seeded for each step and process.
        """

    def after_step(self, at: At) -> None:
        """Called without gradient after each optimiser step, for teachers, queues and centres.

        Leaves buffers equal on all processes.
        """


class Method(Protocol):
    """Entry-point group `zoo.methods`: builds the learner, the module that says what is learned from a batch."""

    def __call__(self, model: "nn.Module", given: Given, **options: Any) -> Learner:
        """model: a classifier, images to logits (B, K); or where there are no labels a timm model without classifier."""
