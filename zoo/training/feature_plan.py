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
from zoo.training.freezing import freeze, train_mode
from zoo.training.frozen_features import FrozenSplit
from zoo.training.plan import is_head_only
from zoo.training.setup import MEMORY_SHARE, Setup, example_inputs

FrozenSplits = tuple[FrozenSplit | None, ...]


def cuts(parts: Setup, processes: Processes, reporter: Reporter) -> FrozenSplits:
    """One for each phase, None where its whole model runs in every epoch; why it must is said where it could surprise."""
    if not parts.recipe.train.cache_features:
        return (None,) * len(parts.phases)
    model, example = parts.model.to(processes.device), example_inputs(parts, processes)
    found = []
    with evaluating(model):
        for number, phase in enumerate(parts.phases, 1):
            freeze(model, parts.groups, phase)
            train_mode(model, keeps_statistics(phase, parts.recipe))
            cut = _cut(parts, phase, example)
            refusal = _refusal(cut, parts, phase, example)
            if refusal:
                reporter.note(f"phase {number}: what is frozen runs in every epoch, {refusal}")
            found.append(None if refusal else cut)
    return tuple(found)


def named(cuts: FrozenSplits) -> list[str | None]:
    """Where each phase is cut."""
    return [cut and cut.last for cut in cuts]


def keeps_statistics(phase: Phase, recipe: Recipe) -> bool:
    """Whether batch-norm statistics stay fixed where weights train."""
    return recipe.train.freeze_bn_stats if phase.freeze_bn_stats is None else phase.freeze_bn_stats


def views(phase: Phase, recipe: Recipe, start: int) -> range:
    """The epochs whose augmentation a phase that begins at epoch `start` keeps; one where images do not change."""
    count = recipe.train.views if recipe.data.augment.changes else None
    return range(start, start + min(count or 1, phase.epochs))


def _cut(parts: Setup, phase: Phase, example: torch.Tensor) -> FrozenSplit | None:
    if is_head_only(phase) and (halved := halves(parts.model, example)):
        return halved
    return frozen_prefix(parts.model, example) if _is_worth_it(phase, parts.recipe) else None


def _is_worth_it(phase: Phase, recipe: Recipe) -> bool:
    return repeats(phase, recipe) and not recipe.train.compiles and not recipe.train.shard


def repeats(phase: Phase, recipe: Recipe) -> bool:
    """Whether images that come again look as they did, so that a partly frozen model need not see them again."""
    how, kept = recipe.data.augment, recipe.train.views
    again = len(views(phase, recipe, 0)) < phase.epochs
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
    if train.shard:
        return "since a model that is spread runs as a whole; train.shard=false keeps its features"
    return f"since train.views={train.views} is no less than its {phase.epochs} epochs"


def _refusal(cut: FrozenSplit | None, parts: Setup, phase: Phase, example: torch.Tensor) -> str:
    """Why a phase that could be cut is not, "" where it is or where nobody would expect it to be."""
    if cut is None:
        frozen = len(phase.trainable) < len(parts.groups)
        if not frozen:
            return ""
        if is_head_only(phase) or _is_worth_it(phase, parts.recipe):
            return f"since no single tensor crosses between it and the rest of a {type(parts.model).__name__}"
        return _objection(phase, parts.recipe)
    with evaluating(cut.model), torch.inference_mode():
        each = cut.features(example[:1]).numel() * 4
    images = {name: len(parts.data.splits[name]) for name in ("train", "validation")}
    size = each * (images["train"] * len(views(phase, parts.recipe, 0)) + images["validation"])
    if feature_cache.fits(size) or size <= MEMORY_SHARE * psutil.virtual_memory().available:
        return ""
    return f"since its features would take {size / 1e9:.1f} GB, more than cache (ZOO_CACHE_GB) and memory have"
