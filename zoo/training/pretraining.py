"""A recipe's parts for pretraining: images without labels, and a backbone without classifier."""

from dataclasses import replace

import torch
from torch import nn

from zoo.config.recipe import AUTO, LAST, Recipe
from zoo.contracts import At, Given, Seen
from zoo.data.dataset import load_unlabelled
from zoo.data.rng import stream
from zoo.errors import ModelError, UsageError
from zoo.models.backbone import build_backbone
from zoo.models.mode import evaluating
from zoo.training.learner import build_learner, own_parameters
from zoo.training.setup import Setup, input_size, set_up

MEASURED = ("loss", LAST)
"""What may choose the epoch to keep."""


def build_pretraining(recipe: Recipe) -> Setup:
    """Load the images, build the backbone, plan the phases. Raises ZooError; writes nothing."""
    recipe = _resolved(recipe)
    data = load_unlabelled(recipe.data, recipe.train.seed)
    torch.manual_seed(stream(recipe.train.seed, 1))
    model = _headless(recipe)
    given = Given(image_size=input_size(recipe, model), channels=recipe.model.in_chans, seed=recipe.train.seed)
    learner = build_learner(recipe.method, model, given, torch.device("cpu"))
    if hasattr(learner, "classify"):
        raise UsageError(
            f"method: '{recipe.method.name}' trains a classifier, which needs labels: zoo finetune; "
            f"zoo pretrain takes a method that learns without, see zoo list methods"
        )
    setup = set_up(recipe, data, model, own_parameters(learner))
    idle = _idle_parameters(setup, learner)
    groups = {group: tuple(name for name in names if name not in idle) for group, names in setup.groups.items()}
    return replace(setup, groups=groups)


def _idle_parameters(setup: Setup, learner: nn.Module) -> set[str]:
    """Names of the backbone's parameters that do not touch the method's loss; processes would wait for their gradients."""
    transform = setup.transform
    named = {name: parameter for name, parameter in setup.model.named_parameters() if parameter.requires_grad}
    images = torch.zeros(1, transform.channels, transform.size, transform.size)
    seen = Seen(images, setup.data.task.example(1, 0), torch.ones(1), torch.zeros(1, dtype=torch.int64))
    with evaluating(learner), torch.random.fork_rng([]):
        loss = learner(seen, At(0, 1, 0, 0))["loss"].sum()
    gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    used = {name for name, gradient in zip(named, gradients, strict=True) if gradient is not None}
    return {name for name, _ in setup.model.named_parameters()} - used


def _headless(recipe: Recipe) -> nn.Module:
    """The backbone without its classifier. Raises ModelError where it gives no features."""
    model = build_backbone(recipe.model, recipe.data.image_size)
    try:
        model.reset_classifier(0)
    except (AttributeError, TypeError) as error:
        raise ModelError(
            f"the classifier of '{recipe.model.backbone}' cannot be taken off. Take another backbone"
        ) from error
    return model


def _resolved(recipe: Recipe) -> Recipe:
    """The recipe with `best_by` said. Raises UsageError for what only a classifier can have."""
    model, train = recipe.model, recipe.train
    wrong = {
        "model.top": model.top != "replace",
        "model.insert": model.insert is not None,
        "model.cut": model.cut is not None,
        "model.concat": bool(model.concat),
        "model.adapter": model.adapter is not None,
        "data.augment.mixup": recipe.data.augment.mixup > 0,
        "data.augment.cutmix": recipe.data.augment.cutmix > 0,
        "train.fsdp": train.fsdp,
    }
    if found := next((key for key, set_ in wrong.items() if set_), None):
        raise UsageError(f"{found}: zoo pretrain trains a whole backbone without labels. Leave {found} out")
    stops = train.early_stop.patience is not None or train.early_stop.target is not None
    best_by = train.best_by if train.best_by != AUTO else "loss" if stops else LAST
    if best_by not in MEASURED:
        raise UsageError(
            f"train.best_by: '{best_by}' needs labels, which zoo pretrain does not read. Take one of {', '.join(MEASURED)}"
        )
    return recipe.model_copy(update={"train": train.model_copy(update={"best_by": best_by})})
