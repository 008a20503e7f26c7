"""A recipe's parts: data, model and phases, built and described before anything is written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from zoo.config.recipe import AUTO, LAST, Named, Recipe
from zoo.contracts import HEAD, Phase
from zoo.data.dataset import ImageData, load_data
from zoo.data.image_store import EvalTransform
from zoo.data.loader import Normalise
from zoo.data.rng import stream
from zoo.distributed.processes import Processes
from zoo.errors import UsageError
from zoo.models.adapter import adapt
from zoo.models.backbone import config, native_size, per_channel
from zoo.models.classifier import Classifier, build_classifier
from zoo.models.param_groups import Groups, parameter_groups
from zoo.models.transfer import innermost
from zoo.tasks.losses import build_loss
from zoo.tasks.metrics_table import metrics_of
from zoo.tasks.targets import has_unknown
from zoo.training.optim import build_optimizer
from zoo.training.plan import PhasePlan, lay_out, measure_costs, plan_phases, training_bytes

FEW = 4
"""Images that a model is tried with."""
TIMED_PIXELS = 2**15
"""It is timed with so many pixels, if they are more: few small images would say little of whole batches."""

MEMORY_SHARE = 0.25
"""Part of the free memory that decoded images, or features, may take."""


@dataclass(frozen=True)
class Setup:
    """What a recipe became: data, model and plan, before anything is written."""

    recipe: Recipe
    data: ImageData
    model: nn.Module
    groups: Groups
    phases: tuple[Phase, ...]
    transform: EvalTransform
    normalise: Normalise
    merge: Callable[[], nn.Module]
    """Gives the model to publish: `model` itself, or what an adapter merges into."""


def build(recipe: Recipe, data: ImageData | None = None) -> Setup:
    """Load the data unless they are given, build the model, plan the phases. Raises ZooError; writes nothing."""
    data = data or load_data(recipe.data, recipe.train.seed, recipe.task)
    recipe = resolve_task(recipe, data)
    torch.manual_seed(stream(recipe.train.seed, 1))
    model = build_classifier(recipe.model, len(data.classes), recipe.data.image_size)
    if recipe.model.top == "replace":
        _start_at_prior(model, data)
    return set_up(recipe, data, model)


def set_up(recipe: Recipe, data: ImageData, model: nn.Module, own: Mapping[str, nn.Parameter] | None = None) -> Setup:
    """The parts around a model that is built: its groups, the phases, and how images become inputs. Raises ZooError.

    own: parameters by name that the method trains with the head, where the model's head has none.
    """
    own = own or {}
    backbone = innermost(model.backbone if isinstance(model, Classifier) else model)
    size = input_size(recipe, backbone)
    cfg, adaptation = config(backbone), adapt(model, recipe.model.adapter)
    channels = recipe.model.in_chans
    mean, std = (per_channel(cfg[key], channels) for key in ("mean", "std"))
    model = adaptation.model
    groups = parameter_groups(model, size, channels, adaptation.fixed)
    phases = plan_phases(recipe, {**groups, HEAD: (*groups[HEAD], *own)})
    _check_last(recipe, phases)
    for phase in phases:  # a wrong option is found before anything is written
        build_optimizer(model, groups, phase, recipe.optim, list(own.values()))
    return Setup(
        recipe,
        data,
        model,
        groups,
        phases,
        EvalTransform(size, recipe.data.crop_pct, channels),
        Normalise(mean, std, recipe.train.channels_last),
        adaptation.merge,
    )


def input_size(recipe: Recipe, backbone: nn.Module) -> int:
    """Height and width in pixels of a model's inputs."""
    return recipe.data.image_size or native_size(backbone)


def _check_last(recipe: Recipe, phases: Sequence[Phase]) -> None:
    """Raises UsageError where the last epoch is to be kept, and training is to end by a metric."""
    stop = recipe.train.early_stop
    asked = {"patience": stop.patience or next((p.patience for p in phases if p.patience), None), "target": stop.target}
    if recipe.train.best_by == LAST and (found := [name for name, value in asked.items() if value is not None]):
        raise UsageError(
            f"train.best_by: 'last' compares no epochs, which a {found[0]} needs. Leave out the {found[0]} "
            f"(train.early_stop.{found[0]}={asked[found[0]]}), or name a metric, as in train.best_by=loss"
        )


def _start_at_prior(model: nn.Module, data: ImageData) -> None:
    """Let a new linear classifier's bias give the training rates where the task wants that; its weights stay."""
    bias = data.task.prior_bias(data.splits["train"].targets, len(data.classes))
    last = model.get_classifier() if bias is not None and hasattr(model, "get_classifier") else None
    if isinstance(last, nn.Linear) and last.bias is not None:
        with torch.no_grad():
            last.bias.copy_(bias)


def resolve_task(recipe: Recipe, data: ImageData) -> Recipe:
    """The recipe with its task, loss and `best_by` said where they were `auto`. Raises UsageError, PluginError."""
    task = data.task
    loss = Named(name=task.losses[0]) if recipe.train.loss.name == AUTO else recipe.train.loss
    best_by = task.headline if recipe.train.best_by == AUTO else recipe.train.best_by
    if best_by not in (names := [*(row.name for row in metrics_of(task.name)), LAST]):
        raise UsageError(
            f"train.best_by: '{best_by}' is not defined for task={task.name}. Take one of {', '.join(names)}"
        )
    train = recipe.train.model_copy(update={"loss": loss, "best_by": best_by})
    build_loss(
        train, len(data.classes), task=task, unknown=has_unknown(data.splits["train"].targets)
    )  # fits, or raises
    return recipe.model_copy(update={"task": task.name, "train": train})


def place(setup: Setup, processes: Processes) -> None:
    """Put the model where it trains, in the memory format that the recipe settled on."""
    setup.model.to(processes.device)
    if setup.recipe.train.channels_last:
        setup.model.to(memory_format=torch.channels_last)


def make_example(setup: Setup, processes: Processes, count: int = FEW) -> torch.Tensor:
    """`count` random inputs of the right shape, no more than a batch has, for timing and for trying split points."""
    generator = torch.Generator().manual_seed(0)
    size = (
        min(count, setup.recipe.data.batch_size),
        setup.transform.channels,
        setup.transform.size,
        setup.transform.size,
    )
    example = torch.randn(size, generator=generator).to(processes.device)
    return example.contiguous(memory_format=torch.channels_last) if setup.recipe.train.channels_last else example


def describe(setup: Setup, processes: Processes, split_points: Sequence[str | None]) -> dict[str, Any]:
    """The plan as data: what `--dry-run --json` prints and the screen draws. split_points: where each phase's frozen part ends."""
    recipe, model = setup.recipe, setup.model.to(processes.device)
    images = {name: len(split) for name, split in setup.data.splits.items()}
    timed = make_example(setup, processes, max(FEW, TIMED_PIXELS // setup.transform.size**2))
    costs = measure_costs(model, timed, processes.autocast, backward=not processes.uses_fsdp(recipe.train))
    plans = lay_out(model, setup.groups, setup.phases, recipe, images, split_points, costs, processes.size)
    return {
        "backbone": recipe.model.backbone,
        "head": recipe.model.head.name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "groups": {group: len(names) for group, names in setup.groups.items()},
        "schedule": recipe.schedule.name,
        "source": recipe.data.source,
        "classes": len(setup.data.classes),
        "images": images,
        "splits": {name: split.origin for name, split in setup.data.splits.items()},
        "image_size": setup.transform.size,
        "batch_size": recipe.data.batch_size,
        "device": str(processes.device),
        "processes": processes.size,
        "precision": processes.precision,
        "memory_bytes": {
            "images": sum(images.values()) * setup.transform.nbytes,
            "weights_and_optimiser": training_bytes(
                model, plans, processes.size if processes.uses_fsdp(recipe.train) else 1
            ),
        },
        "phases": [_described_phase(plan) for plan in plans],
        "seconds": round(
            sum(p.seconds or 0.0 for p in plans) + images.get("test", 0) * costs.forward / processes.size, 1
        ),
    }


def _described_phase(plan: PhasePlan) -> dict[str, Any]:
    return {
        "epochs": plan.phase.epochs,
        "trains": list(plan.phase.trainable),
        "kind": plan.phase.parameters,
        "parameters": plan.trainable,
        "steps": plan.steps,
        "cached_features": plan.split_point is not None,
        "cut": plan.split_point,
        "seconds": round(plan.seconds or 0.0, 1),
    }
