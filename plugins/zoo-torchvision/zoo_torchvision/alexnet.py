"""AlexNet: Krizhevsky, Sutskever and Hinton 2012, in the one-column form of Krizhevsky 2014 (arXiv:1404.5997)."""

from collections import OrderedDict
from typing import Any

import torch
from timm.layers import ClassifierHead
from timm.models import generate_default_cfgs, register_model
from torch import nn
from torchvision import models

from zoo_torchvision.layout import Layout
from zoo_torchvision.published import configuration, create
from zoo_torchvision.staged import Staged

HIDDEN = 4096
"""Features before the classifier: the width of fc6 and fc7."""

LAYOUT = Layout(
    stem=("features.0", "features.1"),
    stages=(
        ("features.2", "features.3", "features.4"),
        ("features.5", "features.6", "features.7"),
        ("features.8", "features.9"),
        ("features.10", "features.11"),
        ("features.12",),
    ),
    taps=((0, 64, 4), (1, 192, 8), (4, 256, 16), (5, 256, 32)),
    head={"classifier.1": "pre_logits.fc6", "classifier.4": "pre_logits.fc7", "classifier.6": "head.fc"},
)

default_cfgs = generate_default_cfgs({"alexnet.tv_in1k": configuration("alexnet", "stem.0", "1404.5997")})


class AlexNet(Staged):
    """Five convolutions, a stage each, then fc6 and fc7 on a 6×6 map, whatever the size of the image.

    `forward_features` gives (B, 256, H, W), `forward_head(pre_logits=True)` what fc7 gives, (B, 4096). As in timm's VGG
    the hidden layers are no part of the classifier: `reset_classifier` leaves them.
    """

    def __init__(
        self, num_classes: int = 1000, in_chans: int = 3, global_pool: str = "avg", drop_rate: float = 0.5
    ) -> None:
        """drop_rate: dropout before fc6 and before fc7."""
        source = models.AlexNet(num_classes=1, dropout=drop_rate)
        head = ClassifierHead(HIDDEN, num_classes, pool_type=global_pool)
        super().__init__(
            *LAYOUT.parts(source, in_chans),
            num_classes=num_classes,
            in_chans=in_chans,
            global_pool=global_pool,
            head=head,
        )
        drop6, fc6, act6, drop7, fc7, act7, _ = source.classifier
        hidden = {"drop6": drop6, "fc6": fc6, "act6": act6, "drop7": drop7, "fc7": fc7, "act7": act7}
        one_pixel = nn.Unflatten(1, (HIDDEN, 1, 1))
        self.pre_logits = nn.Sequential(
            OrderedDict(pool=source.avgpool, flatten=nn.Flatten(), **hidden, one_pixel=one_pixel)
        )

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        return super().forward_head(self.pre_logits(x), pre_logits)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None, reset_other: bool = False) -> None:
        """A new classifier, none for 0; `reset_other` takes the hidden layers away as well."""
        if reset_other:
            self.pre_logits = nn.Identity()
        bare = isinstance(self.pre_logits, nn.Identity)
        self.num_classes = num_classes
        self.global_pool = self.global_pool if global_pool is None else global_pool
        self.head.reset(num_classes, global_pool, in_features=self.num_features if bare else HIDDEN)
        self.head_hidden_size = self.head.num_features


@register_model
def alexnet(pretrained: bool = False, **arguments: Any) -> AlexNet:
    """AlexNet, 61.1 million parameters."""
    return create(AlexNet, "alexnet", LAYOUT, pretrained, **arguments)
