"""Small models with random weights, and the recipes that make them."""

from typing import Any

import torch
from torch import nn

from zoo.config.recipe import Model, Recipe
from zoo.models.classifier import build_classifier

CLASSES = ("cat", "dog", "a b", "é", "x|y")


def spec(backbone: str = "test_resnet", **model: Any) -> Model:
    """The model section of a recipe, without pretrained weights unless asked for."""
    return Model(**{"backbone": backbone, "pretrained": False, **model})


def recipe(
    backbone: str = "test_resnet", size: int | None = 32, data: dict[str, Any] | None = None, **more: Any
) -> Recipe:
    """A recipe; `more` are its other sections, or keys of its model."""
    sections = {key: more.pop(key) for key in ("schedule", "optim", "train") if key in more}
    return Recipe(model=spec(backbone, **more), data={"source": "x", "image_size": size, **(data or {})}, **sections)


def classifier(backbone: str = "test_resnet", size: int | None = 32, head: Any = "linear", **model: Any) -> nn.Module:
    """A classifier of 5 classes whose weights and statistics are random, always the same."""
    torch.manual_seed(0)
    made = build_classifier(spec(backbone, head=head, **model), len(CLASSES), size)
    for module in made.modules():
        if getattr(module, "running_var", None) is not None:
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    return made


def images(count: int = 4, size: int = 32, channels: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def logits(model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """What a model in eval mode gives."""
    return model.eval()(inputs)
