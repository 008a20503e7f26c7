"""Where each phase's model is cut, so that what is frozen runs once instead of in every epoch."""

import psutil
import torch

from zoo.config.recipe import Recipe
from zoo.contracts import Phase
from zoo.distributed.processes import Processes
from zoo.models.classifier import halves
from zoo.models.frozen_split import frozen_prefix
from zoo.models.mode import evaluating
from zoo.reporting import Reporter
from zoo.storage import feature_cache
from zoo.training.freezing import freeze, set_train_mode
from zoo.training.frozen_features import FrozenSplit
from zoo.training.learner import reads_features
from zoo.training.plan import is_head_only
from zoo.training.setup import MEMORY_SHARE, Setup, make_example

FrozenSplits = tuple[FrozenSplit | None, ...]


def plan_splits(setup: Setup, processes: Processes, reporter: Reporter) -> FrozenSplits:
    """One for each phase, None where its whole model runs in every epoch; why it must is said where it could surprise."""
    if not setup.recipe.train.cache_features or not reads_features(setup.recipe.method):
        return (None,) * len(setup.phases)
    model, example = setup.model.to(processes.device), make_example(setup, processes)
    found = []
    with evaluating(model):
        for number, phase in enumerate(setup.phases, 1):
            freeze(model, setup.groups, phase)
            set_train_mode(model, keeps_statistics(phase, setup.recipe))
            split = _find_split(setup, phase, example)
            refusal = _refusal(split, setup, phase, example)
            if refusal:
                reporter.note(f"phase {number}: what is frozen runs in every epoch, {refusal}")
            found.append(None if refusal else split)
    return tuple(found)


def split_names(splits: FrozenSplits) -> list[str | None]:
    """Where each phase is cut."""
    return [split and split.last for split in splits]


def keeps_statistics(phase: Phase, recipe: Recipe) -> bool:
    """Whether batch-norm statistics stay fixed where weights train."""
    return recipe.train.freeze_bn_stats if phase.freeze_bn_stats is None else phase.freeze_bn_stats


def cached_epochs(phase: Phase, recipe: Recipe, start: int) -> range:
    """The epochs whose augmentation a phase that begins at epoch `start` keeps; one where images do not change."""
    count = recipe.train.views if recipe.data.augment.changes else None
    return range(start, start + min(count or 1, phase.epochs))


def _find_split(setup: Setup, phase: Phase, example: torch.Tensor) -> FrozenSplit | None:
    if is_head_only(phase) and (halved := halves(setup.model, example)):
        return halved
    return frozen_prefix(setup.model, example) if _is_worth_it(phase, setup.recipe) else None


def _is_worth_it(phase: Phase, recipe: Recipe) -> bool:
    return repeats_images(phase, recipe) and not recipe.train.compiles and not recipe.train.fsdp


def repeats_images(phase: Phase, recipe: Recipe) -> bool:
    """Whether images that come again look as they did, so that a partly frozen model need not see them again."""
    how, kept = recipe.data.augment, recipe.train.views
    again = len(cached_epochs(phase, recipe, 0)) < phase.epochs
    return again and not how.mixes and (kept is not None or not how.changes)


def _objection(phase: Phase, recipe: Recipe) -> str:
    """What in a recipe that asks for kept features stands against them in a partly frozen phase."""
    how, train = recipe.data.augment, recipe.train
    if phase.epochs == 1 or (train.views is None and how.changes):
        return ""
    if how.mixes:
        return "since mixup and cutmix blend images anew each time"
    if train.compiles:
        return "since a compiled model runs as a whole; train.compile=false keeps its features"
    if train.fsdp:
        return "since a sharded model runs as a whole; train.fsdp=false keeps its features"
    return f"since train.views={train.views} is no less than its {phase.epochs} epochs"


def _refusal(split: FrozenSplit | None, setup: Setup, phase: Phase, example: torch.Tensor) -> str:
    """Why a phase that could be cut is not, "" where it is or where nobody would expect it to be."""
    if split is None:
        frozen = len(phase.trainable) < len(setup.groups)
        if not frozen:
            return ""
        if is_head_only(phase) or _is_worth_it(phase, setup.recipe):
            return f"since no single tensor crosses between it and the rest of a {type(setup.model).__name__}"
        return _objection(phase, setup.recipe)
    with evaluating(split.model), torch.inference_mode():
        each = split.features(example[:1]).numel() * 4
    images = {name: len(setup.data.splits[name]) for name in ("train", "validation")}
    size = each * (images["train"] * len(cached_epochs(phase, setup.recipe, 0)) + images["validation"])
    if feature_cache.fits(size) or size <= MEMORY_SHARE * psutil.virtual_memory().available:
        return ""
    return f"since its features would take {size / 1e9:.1f} GB, more than cache (ZOO_CACHE_GB) and memory have"
