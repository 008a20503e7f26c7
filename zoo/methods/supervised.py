"""Supervised learning: the recipe's loss between a model's logits and the labels, of images that may be mixed."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from zoo.contracts import At, Given, Seen


class Supervised(nn.Module):
    """Learns labels by the loss of the recipe (`train.loss`), with mixup and CutMix where `data.augment` asks for them.

    Raises ValueError for data without labels.
    """

    reads_features = True

    def __init__(self, model: nn.Module, given: Given) -> None:
        super().__init__()
        if given.loss is None:
            raise ValueError("it needs labels: zoo finetune trains it; see zoo list methods")
        self.model = model
        # Parameters that a loss may have do not train: as a bound method it is no submodule.
        self.loss = given.loss.__call__ if isinstance(given.loss, nn.Module) else given.loss
        self.mix = given.mix

    def on_features(self, top: nn.Module) -> "Supervised":
        """The same for a model whose frozen part ran already: `top` reads its features, which are not mixed."""
        return Supervised(top, Given(loss=self.loss))

    def forward(self, seen: Seen, at: At) -> dict[str, Tensor]:
        """`loss` float32 (B,) of images `seen.inputs` (B, C, H, W), or features, and targets as the task encodes them."""
        inputs, targets = (seen.inputs, seen.targets) if self.mix is None else _undisturbed(self.mix, seen, at)
        logits = self.model(inputs)
        with torch.autocast(logits.device.type, enabled=False):
            return {"loss": self.loss(logits.float(), targets)}

    def classify(self, inputs: Tensor) -> Tensor:
        """Logits (B, K) of images (B, C, H, W), or of features."""
        return self.model(inputs)

    def after_step(self, at: At) -> None:
        """Do nothing: all that is learned are the model's parameters."""


@torch.compiler.disable
def _undisturbed(mix: Callable, seen: Seen, at: At) -> tuple[Tensor, Tensor]:
    """Mix outside of a compiled graph, which random numbers would break."""
    return mix(seen.inputs, seen.targets, at)
