"""A recipe as a frozen, typed tree. The text under each field is its documentation: `zoo show --schema` prints it.

The same words serve in YAML, on the command line (`data.limit=512`) and in the code.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from zoo.config.augment_marks import Operation, OperationKind, ParameterOf, find_operations, find_parameters
from zoo.tasks.metrics_table import METRIC_NAMES, current_name

Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(ge=1)]
BATCH = 64
AUTO = "auto"
"""Name of a loss or metric that is the task's own."""
LAST = "last"
"""The value of `train.best_by` that keeps the weights of the last epoch."""
Metric = Annotated[Literal[AUTO, LAST, *METRIC_NAMES], BeforeValidator(current_name)]


class Section(BaseModel):
    """Frozen, strict about types, unknown keys and infinite numbers refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, strict=True, allow_inf_nan=False
    )


class Named(Section):
    """The name of a registered part and its options: `{name: mlp, hidden: 256}`, or just `mlp`."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


def _weights(value: bool | str) -> bool | str:
    if isinstance(value, str) and not value.endswith(".safetensors") and not Path(value).is_dir():
        raise ValueError("true, false or the path of a safetensors file")
    return value


def _from_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Part = Annotated[Named, BeforeValidator(_from_name)]


class Model(Section):
    """What is trained."""

    backbone: str
    """Any timm name, a plugin backbone (`owner:name` where names clash), `timm:NAME`, `local-dir:PATH`."""
    pretrained: Annotated[bool | str, AfterValidator(_weights)] = True
    """`true`: the backbone's own weights; `false`: random; or the path of a safetensors file."""
    options: dict[str, Any] = {}
    """Options of the backbone itself, checked against it (`{drop_path_rate: 0.1}`)."""
    head: Part = Named(name="linear")
    """The head and its options; `zoo list heads` names them, `zoo show HEAD` explains one."""
    top: Literal["replace", "stack", "keep"] = "replace"
    """`replace` the pretrained classifier by the head; `stack` the head on its outputs; `keep` it and take no head."""
    insert: Positive | None = None
    """Width of a residual bottleneck put in before the head or, with `top: keep`, before the kept classifier."""
    cut: str | None = None
    """Use the backbone up to this stage only (`layer3`, `denseblock3`, `blocks.5`); a name it has not lists those it has."""
    concat: list[str] = []
    """Further backbones whose pooled features are concatenated with the first's; `linear-probe` caches them."""
    adapter: Part | None = None
    """New parameters inside a backbone that stays as it came, merged into it at the end (`{name: lora, rank: 8}`)."""
    in_chans: Literal[1, 3] = 3
    """Input channels. Grey images are repeated to 3; with 1 colours become grey and stem weights are summed."""


class Splits(Section):
    """Names of the data set's splits, where they are not found by themselves."""

    train: str | None = None
    """Split to train on (found: `train`)."""
    validation: str | None = None
    """Split that chooses the best epoch (found: `validation`, `valid`, `val`, `dev`)."""
    test: str | None = None
    """Split for the final metrics (found: `test`)."""


class Augment(Section):
    """Random changes of training images, drawn per image from (seed, epoch, index).

    Each field is marked as an `Operation`, with the value at which it does nothing, or as a parameter of one.
    """

    flip: Annotated[bool, Operation("spatial", neutral=False)] = True
    """Mirror left-right half of the time."""
    crop: Annotated[Literal["none", "padded", "resized"], Operation("spatial", neutral="none")] = "none"
    """`padded`: shift by up to an eighth, edges mirrored; `resized`: a random part blown up to full size."""
    min_scale: Annotated[float, Field(gt=0, le=1), ParameterOf("crop")] = 0.5
    """Smallest share of the area that `crop: resized` keeps."""
    rotate: Annotated[float, Field(ge=0, le=180), Operation("spatial", neutral=0.0)] = 0.0
    """Rotate by up to this many degrees either way."""
    shear: Annotated[float, Field(ge=0, le=45), Operation("spatial", neutral=0.0)] = 0.0
    """Shear along the rows by up to this many degrees either way: upright lines lean by that angle."""
    jitter: Annotated[float, Field(ge=0, lt=1), Operation("colour", neutral=0.0)] = 0.0
    """Change brightness, contrast and saturation by up to this share."""
    erase: Annotated[float, Field(ge=0, le=1), Operation("erase", neutral=0.0)] = 0.0
    """Probability of random erasing: a rectangle of 2-33 % of the area set to the mean (arXiv:1708.04896)."""
    mixup: Annotated[float, Field(ge=0), Operation("mix", neutral=0.0)] = 0.0
    """Alpha of mixup's Beta distribution; 0 is off (arXiv:1710.09412)."""
    cutmix: Annotated[float, Field(ge=0), Operation("mix", neutral=0.0)] = 0.0
    """Alpha of CutMix's Beta distribution; 0 is off (arXiv:1905.04899). With mixup, each batch draws one."""

    def active(self, *kinds: OperationKind) -> list[str]:
        """Names of the operations of these kinds that do something, in the order of the fields."""
        return [name for name, op in OPERATIONS.items() if op.kind in kinds and getattr(self, name) != op.neutral]

    @property
    def mixes(self) -> bool:
        """Whether images are mixed with each other."""
        return bool(self.active("mix"))

    @property
    def changes(self) -> bool:
        """Whether an image looks different from epoch to epoch."""
        return bool(self.active(*CHANGES))

    def image_settings(self) -> dict[str, Any]:
        """The operations that change single images, and their parameters: all that an image's pixels depend on."""
        names = [
            key for name in self.active(*CHANGES) for key in (name, *find_parameters(type(self).model_fields, name))
        ]
        return {name: getattr(self, name) for name in names}


OPERATIONS = find_operations(Augment.model_fields)
"""Every operation of `data.augment` by its name."""
CHANGES: tuple[OperationKind, ...] = ("spatial", "colour", "erase")
"""Kinds of operation that change single images."""


class Data(Section):
    """Which images, and how they reach the model."""

    source: str
    """Folder of images or parquet files, CSV, TSV or JSON Lines file of image paths, Hub id, `sample:NAME`, `plugin:NAME`."""
    options: dict[str, Any] = {}
    """Options of a plugin's source, checked against it; `zoo list sources`."""
    config: str | None = None
    """Configuration of a Hub data set that has several."""
    revision: str | None = None
    """Branch, tag or commit of a Hub data set."""
    image_column: str | None = None
    """Column of the images or, in a CSV file, of their paths below its folder (found: the only one, by type or name)."""
    label_column: str | Annotated[list[str], Field(min_length=1)] | None = None
    """Column of the labels (found: the only class-label column, or `label`), or a list of columns, one for each label."""
    label_delimiter: Annotated[str, Field(min_length=1)] | None = None
    """What separates several labels in a cell of text (`;`); null: a cell is one label. Never guessed."""
    weight_column: str | None = None
    """Column of numbers from 0 by which the loss of training images is multiplied, scaled to a mean of 1; metrics ignore it."""
    group_column: str | None = None
    """Column that says which images belong together (a patient, a scene): a group stays whole where train gives splits."""
    splits: Splits = Splits()
    """Names of the splits."""
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of train, stratified, that becomes the validation split where there is none."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of train, stratified, that becomes the test split where there is none."""
    limit: Positive | None = None
    """Images per split, stratified, for trials; null is all."""
    image_size: Annotated[int, Field(ge=8, le=4096)] | None = None
    """Height and width in pixels of the model's input; null is the backbone's own."""
    crop_pct: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Evaluation resizes the short side to `image_size / crop_pct`, then cuts the centre."""
    batch_size: Positive | Literal["auto"] = BATCH
    """Images per accumulation step, all processes together; `auto`: what fits of 64 x `train.accumulation`, so accumulated."""
    workers: Annotated[int, Field(ge=0)] | None = None
    """Decoding processes for data that does not fit in memory; null is one per core, which is also the most."""
    in_memory: Literal["auto"] | bool = "auto"
    """Decode everything once into memory as uint8; `auto` does if it takes at most a quarter of what is free."""
    corrupt: Literal["error", "skip"] = "error"
    """What to do with unreadable training images; validation and test always need every image."""
    augment: Augment = Augment()
    """Random changes of training images."""

    @property
    def images_per_batch(self) -> int:
        """`batch_size`, or its default where it is yet to be found."""
        return BATCH if self.batch_size == "auto" else self.batch_size


class Optim(Section):
    """How weights move."""

    name: str = "adamw"
    """Any optimiser of timm (`sgd`, `adamw`, `lamb`, ...) or a plugin's; `zoo list optimizers`."""
    lr: Annotated[float, Field(gt=0)] = 1e-3
    """Peak learning rate of the head; other groups have it times their factors."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.02
    """Weight decay; norms, biases and what the backbone exempts have none."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Learning-rate factor per group from head to stem, normalised to at most 12 groups of depth."""
    lr_schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """Shape from the peak towards 0, step by step, anew in each phase."""
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    """Linear rise from 0 at the start of each phase, in epochs (at most half of the phase)."""
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    """Clip the norm of all gradients together to this."""
    options: dict[str, Any] = {}
    """Further options of the optimiser (`{momentum: 0.9}`)."""


class EarlyStop(Section):
    """When to stop before the last epoch."""

    patience: Positive | None = None
    """End the phase after this many epochs without a better `train.best_by`; the next goes on from the best weights."""
    target: float | None = None
    """End training once `train.best_by` on validation is this good."""


class Train(Section):
    """How long, how exactly, and what is kept."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 5
    """Passes over the training data, all phases together."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """One seed gives one result: splits, initial head, order, augmentation, dropout."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic; `auto` takes bf16 or fp32 by a few timed steps, in runs of over 20 s; fp16 needs a GPU."""
    accumulation: Positive = 1
    """Batches per optimiser step; a short last window is weighted by its images. See `data.batch_size: auto`."""
    label_smoothing: Fraction = 0.0
    """Share s of the target spread over all classes; with `task: multilabel` targets are s/2 and 1 - s/2."""
    loss: Part = Named(name=AUTO)
    """What training makes small, and its options (`{name: focal, gamma: 2.0}`); `auto` is the task's own; `zoo list losses`."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of an exponential moving average of the weights, which is then what is evaluated and kept."""
    early_stop: EarlyStop = EarlyStop()
    """When to stop before the last epoch."""
    best_by: Metric = AUTO
    """Validation metric that chooses the epoch to keep; `auto` is the task's first (accuracy, map); `last` keeps the last epoch; `zoo list metrics` says which way is better."""
    freeze_bn_stats: bool = False
    """Keep batch-norm statistics fixed even where weights train; better on small data."""
    cache_features: bool = True
    """Run what is frozen once: whole backbones on images without augmentation, partly frozen ones if it is off (or `views`)."""
    views: Positive | None = None
    """In phases with a frozen part, keep its features of so many augmented views of each image, taken in turn by epoch."""
    channels_last: Literal["auto"] | bool = "auto"
    """Memory format that convolutions like best; `auto` is `true` unless the other is measured to be clearly faster."""
    compile: Literal["auto", "reduce-overhead"] | bool = "auto"
    """`torch.compile` the model (`reduce-overhead`: by CUDA graphs); `auto` tries it in runs of over an hour."""
    fsdp: bool = False
    """Shard weights, gradients and optimiser state over the processes (FSDP2), for models too large for each GPU."""
    checkpoint_s: Annotated[float, Field(ge=0)] = 60.0
    """Seconds between checkpoints inside a phase; 0 is every step. Phases always end with one."""

    @property
    def compiles(self) -> bool:
        """Whether the model is compiled; not while that is open."""
        return self.compile not in (False, "auto")


class Recipe(Section):
    """Everything that decides a result."""

    model: Model
    """What is trained."""
    data: Data
    """Which images, and how they reach the model."""
    task: Literal["auto", "multiclass", "multilabel"] = "auto"
    """`multiclass`: one class an image; `multilabel`: any number of labels; `auto`: what the label column holds."""
    method: Part = Named(name="supervised")
    """What is learned from a batch, and its options; `zoo list methods`."""
    schedule: Part = Named(name="none")
    """Freezing schedule and its options; `zoo list schedules`, `zoo show SCHEDULE`."""
    optim: Optim = Optim()
    """How weights move."""
    train: Train = Train()
    """How long, how exactly, and what is kept."""


def sections(model: type[BaseModel], prefix: str = "") -> "list[tuple[str, Any, Any]]":
    """(dotted key, pydantic FieldInfo, section or None) of every key, depth first."""
    rows: list[tuple[str, Any, Any]] = []
    for name, info in model.model_fields.items():
        kind = info.annotation
        nested = isinstance(kind, type) and issubclass(kind, Section) and kind is not Named
        rows.append((prefix + name, info, kind if nested else None))
        if nested:
            rows += sections(kind, f"{prefix}{name}.")
    return rows
