"""A classifier of pictures: model, class names, preprocessing and rule of decision, together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.models import get_model_traits
from torch import nn

from zoo.data.decoding import UnreadableImage
from zoo.data.image_store import EvalTransform
from zoo.data.loader import Normalise
from zoo.errors import DataError
from zoo.models.backbone import config, native_size, per_channel
from zoo.tasks.rule import IDENTITY, Rule
from zoo.tasks.task import Task, find_task


@dataclass(frozen=True, repr=False)
class ImageClassifier:
    """A model with everything needed to classify pictures.

    model: images (B, C, H, W), normalised, to logits (B, K); classes: K names; view and normalise: how a picture
    becomes an input; about: the `zoo` section of `config.json`, empty for a model of timm's alone; task and rule: how
    logits become probabilities and answers.
    """

    model: nn.Module
    classes: tuple[str, ...]
    view: EvalTransform
    normalise: Normalise
    about: Mapping[str, Any]
    task: Task = field(default_factory=partial(find_task, "multiclass"))
    rule: Rule = IDENTITY

    @classmethod
    def of_timm(cls, model: nn.Module, classes: Sequence[str]) -> "ImageClassifier":
        """A timm model whose pictures are prepared as its `pretrained_cfg` says. classes: names of its outputs, in order."""
        cfg = config(model)
        channels = get_model_traits(model).get("in_chans", cfg["input_size"][0])
        view = EvalTransform(native_size(model), cfg["crop_pct"], channels)
        normalise = Normalise(per_channel(cfg["mean"], channels), per_channel(cfg["std"], channels), False)
        return cls(model, tuple(classes), view, normalise, {})

    def __repr__(self) -> str:
        head = self.about.get("head", {}).get("name", "linear")
        return f"ImageClassifier({len(self.classes)} classes, {self.view.size} px, head {head})"

    def inputs(self, images: Any) -> torch.Tensor:
        """Paths, bytes or PIL images, or one alone -> normalised (B, C, size, size). Raises DataError for an unreadable one."""
        images = images if isinstance(images, list | tuple) else [images]
        if not images:
            raise DataError("no picture was given")
        views = [self._view(image) for image in images]
        return self.normalise(torch.from_numpy(np.stack(views)))

    def _view(self, image: Any) -> np.ndarray:
        try:
            return self.view(image)
        except UnreadableImage as problem:
            name = f"{image}: " if isinstance(image, str | Path) else ""
            raise UnreadableImage(f"{name}{problem}") from problem

    @torch.inference_mode()
    def __call__(self, images: Any) -> torch.Tensor:
        """Probabilities (B, K) for paths, bytes or PIL images, or for one alone (1, K), after the model's rule.

        They sum to 1 where an image has one class; with several labels each has its own. Raises DataError.
        """
        return self.task.probabilities(self.model(self.inputs(images)), self.rule)
