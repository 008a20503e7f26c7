"""The recipe's method: built around a model, checked, and told apart from the model that it holds."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from zoo.config.recipe import Augment, Named, Recipe
from zoo.contracts import At, Given
from zoo.data.augment import mix
from zoo.data.rng import stream
from zoo.errors import PluginError
from zoo.plugins import calling, find
from zoo.tasks.losses import build_loss
from zoo.tasks.task import Task

INIT = 15485867
"""Tells the random numbers that initialise a method's own parameters from others of the run."""


def make_given(
    recipe: Recipe, task: Task, classes: int, image_size: int, device: torch.device, unknown: bool = False
) -> Given:
    """What a method is given besides the model. unknown: whether some training labels are. Raises UsageError, PluginError."""
    if not classes:
        return Given(image_size=image_size, channels=recipe.model.in_chans, seed=recipe.train.seed)
    return Given(
        loss=build_loss(recipe.train, classes, device, task, unknown),
        mix=_mixing(recipe.data.augment, task, classes, recipe.train.seed),
        classes=classes,
        image_size=image_size,
        channels=recipe.model.in_chans,
        seed=recipe.train.seed,
    )


def _mixing(how: Augment, task: Task, classes: int, seed: int) -> Callable[[Tensor, Tensor, At], tuple] | None:
    return partial(_mix, how, task, classes, seed) if how.mixes else None


def _mix(
    how: Augment, task: Task, classes: int, seed: int, inputs: Tensor, targets: Tensor, at: At
) -> tuple[Tensor, Tensor]:
    """Inputs and targets as shares (B, K), both mixed as this batch draws it."""
    return mix(inputs, task.soft(targets, classes), how, seed, at.epoch, at.batch)


def build_learner(method: Named, model: nn.Module, given: Given, device: torch.device) -> nn.Module:
    """The method's learner around a model, on a device. Raises UsageError for its options, PluginError for its faults."""
    plugin = find("method", method.name)
    factory = plugin.load()
    with torch.random.fork_rng([]):
        torch.manual_seed(stream(given.seed, INIT))
        with calling(plugin, f"method: '{plugin.name}' refuses its options", passing=(torch.OutOfMemoryError,)):
            learner = factory(model, given, **method.options)
    if not isinstance(learner, nn.Module):
        raise PluginError(f"{plugin} gave a {type(learner).__name__}; the contract asks for a torch module")
    if getattr(learner, "model", None) is not model:
        raise PluginError(f"{plugin} gave a learner whose `model` is not the model that it was given")
    if not callable(getattr(learner, "after_step", None)):
        raise PluginError(f"{plugin} gave a learner without after_step(at), which the contract asks for")
    return learner.to(device)


def reads_features(method: Named) -> bool:
    """Whether the method learns from features that the frozen part of a model gave."""
    return bool(getattr(find("method", method.name).load(), "reads_features", False))


def classifies(method: Named, build: Callable[[], nn.Module]) -> bool:
    """Whether a method gives a learner that classifies. build: makes one, where the factory alone does not say."""
    return hasattr(find("method", method.name).load(), "classify") or hasattr(build(), "classify")


def own_tensors(learner: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers of a learner by name that are not its model's."""
    of_model = {id(tensor) for tensor in learner.model.state_dict(keep_vars=True).values()}
    return {name: t for name, t in learner.state_dict(keep_vars=True).items() if id(t) not in of_model}


def own_parameters(learner: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters of a learner by name that are not its model's and may train."""
    of_model = {id(parameter) for parameter in learner.model.parameters()}
    return {name: p for name, p in learner.named_parameters() if id(p) not in of_model and p.requires_grad}
