"""What all phases of a run share: the model, where it is cut, and loaders over decoded images."""

from dataclasses import dataclass

import numpy as np
import psutil
import torch
from torch import nn

from zoo.config.recipe import Augment, Data, Recipe
from zoo.data.dataset import Split
from zoo.data.image_store import (
    EvalTransform,
    ImageStore,
    MemoryImageStore,
    StreamedImageStore,
    cores,
    find_unreadable,
    load_into_memory,
    unreadable,
)
from zoo.data.loader import ImageLoader
from zoo.distributed.processes import Processes
from zoo.errors import DataError
from zoo.models.param_groups import Groups
from zoo.reporting import Reporter
from zoo.tasks.targets import has_unknown
from zoo.tasks.task import Task
from zoo.training.feature_plan import FrozenSplits
from zoo.training.learner import build_learner, make_given, own_parameters
from zoo.training.setup import MEMORY_SHARE, Setup

WIDER = 1 / 0.875
"""Training images of `crop: resized` are stored this much larger, so that crops have pixels to choose from."""
GPU_SHARE = 0.05
"""Part of a GPU's free memory that a split's images may take."""


@dataclass(frozen=True)
class TrainingInputs:
    """What all phases share.

    own: names of the learner's parameters that are not the model's and may train.
    rows: indices of the training images that can be read; plain: the same images as evaluation sees them.
    """

    recipe: Recipe
    model: nn.Module
    learner: nn.Module
    own: tuple[str, ...]
    groups: Groups
    splits: FrozenSplits
    task: Task
    classes: int
    rows: np.ndarray
    train: ImageLoader
    plain: ImageLoader
    validation: ImageLoader
    processes: Processes
    reporter: Reporter


def prepare(setup: Setup, splits: FrozenSplits, processes: Processes, reporter: Reporter) -> TrainingInputs:
    """Decode the images, also as frozen parts read them where a phase is cut. Raises DataError for unreadable ones."""
    recipe, train, validation = setup.recipe, setup.data.splits["train"], setup.data.splits["validation"]
    how, transform = recipe.data.augment, setup.transform
    wide = stored_transform(transform, how)

    def loader(split: Split, pixels: ImageStore, how: Augment | None = None) -> ImageLoader:
        return ImageLoader(
            pixels,
            split.targets,
            setup.normalise,
            transform.size,
            processes.device,
            processes.shard,
            how,
            recipe.train.seed,
            split.weights,
        )

    pixels, faults = decode_split(train, wide, recipe, processes, reporter, "train")
    plain = pixels
    if any(splits) and wide != transform and recipe.train.views is None:
        plain, _ = decode_split(train, transform, recipe, processes, reporter, "train")
    if faults:
        reporter.warn(
            f"{len(faults)} of {len(train)} training images are skipped: {'; '.join(list(faults.values())[:3])}"
        )
    return TrainingInputs(
        recipe=recipe,
        model=setup.model,
        learner=(learner := make_learner(setup, processes.device)),
        own=tuple(own_parameters(learner)),
        groups=setup.groups,
        splits=splits,
        task=setup.data.task,
        classes=len(setup.data.classes),
        rows=np.asarray([i for i in range(len(train)) if i not in faults]),
        train=loader(train, pixels, how),
        plain=loader(train, plain),
        validation=loader(
            validation, decode_split(validation, transform, recipe, processes, reporter, "validation")[0]
        ),
        processes=processes,
        reporter=reporter,
    )


def make_learner(setup: Setup, device: torch.device) -> nn.Module:
    """The recipe's method around the model of a setup. Raises UsageError, PluginError."""
    data, recipe = setup.data, setup.recipe
    unknown = has_unknown(data.splits["train"].targets)
    given = make_given(recipe, data.task, len(data.classes), setup.transform.size, device, unknown)
    return build_learner(recipe.method, setup.model, given, device)


def stored_transform(transform: EvalTransform, how: Augment) -> EvalTransform:
    """How training images are stored, which evaluation sees by `view`."""
    return EvalTransform(round(transform.size * WIDER), 1.0, transform.channels) if how.crop == "resized" else transform


def fits_in_memory(count: int, transform: EvalTransform, data: Data, processes: int = 1) -> bool:
    """Whether so many decoded images are kept in memory, by each process."""
    fits = count * transform.nbytes * processes <= MEMORY_SHARE * psutil.virtual_memory().available
    return fits if data.in_memory == "auto" else data.in_memory


def decode_split(
    split: Split, transform: EvalTransform, recipe: Recipe, processes: Processes, reporter: Reporter, name: str
) -> tuple[ImageStore, dict[int, str]]:
    """The split's pixels, in memory where they fit, and what is wrong with unreadable images. Raises DataError."""
    data = recipe.data
    if not fits_in_memory(len(split), transform, data, processes.size):
        share = max(1, cores() // processes.size)
        workers = share if data.workers is None else min(data.workers, share)
        faults = {}
        if name == "train" and data.corrupt == "skip":
            reporter.start(f"checking {name}", len(split))
            faults = find_unreadable(split.encoded, transform, reporter.advance)
            reporter.finish()
        return StreamedImageStore(split.encoded, transform, workers, faults), faults
    reporter.start(f"reading {name}", len(split))
    images, faults = load_into_memory(split.encoded, transform, reporter.advance)
    reporter.finish()
    if name != "train" or data.corrupt == "error":
        _refuse(faults, split)
    return MemoryImageStore(images.to(_home(images.nbytes, processes.device))), faults


def _home(nbytes: int, device: torch.device) -> torch.device:
    """Where decoded images wait: on a GPU with plenty of room, from which no step has to fetch them, else in memory."""
    roomy = device.type == "cuda" and nbytes <= GPU_SHARE * torch.cuda.mem_get_info(device)[0]
    return device if roomy else torch.device("cpu")


def _refuse(faults: dict[int, str], split: Split) -> None:
    if faults:
        raise DataError(unreadable(list(faults.values()), len(split)))
