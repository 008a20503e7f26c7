"""GoogLeNet, the first Inception network: Szegedy et al. 2014 (arXiv:1409.4842), with batch normalisation."""

from typing import Any

from timm.models import generate_default_cfgs, register_model
from torch import nn
from torchvision import models

from zoo_torchvision.layout import Layout
from zoo_torchvision.published import configuration, create
from zoo_torchvision.staged import Staged

LAYOUT = Layout(
    stem=("conv1",),
    stages=(
        ("maxpool1", "conv2", "conv3"),
        ("maxpool2", "inception3a", "inception3b"),
        ("maxpool3", "inception4a", "inception4b", "inception4c", "inception4d", "inception4e"),
        ("maxpool4", "inception5a", "inception5b"),
    ),
    taps=((0, 64, 2), (1, 192, 4), (2, 480, 8), (3, 832, 16), (4, 1024, 32)),
    head={"fc": "head.fc", "aux1": None, "aux2": None},
)

# torchvision feeds its published weights pixels with mean and deviation 0.5, turned from ImageNet's inside the model.
default_cfgs = generate_default_cfgs(
    {"googlenet.tv_in1k": configuration("googlenet", "stem.0.conv", "1409.4842", mean=(0.5,) * 3, std=(0.5,) * 3)}
)


class GoogLeNet(Staged):
    """Nine Inception modules in three stages, without the auxiliary classifiers."""

    def __init__(
        self, num_classes: int = 1000, in_chans: int = 3, global_pool: str = "avg", drop_rate: float = 0.2
    ) -> None:
        source = models.GoogLeNet(num_classes=1, aux_logits=False, init_weights=False)
        super().__init__(
            *LAYOUT.parts(source, in_chans),
            num_classes=num_classes,
            in_chans=in_chans,
            global_pool=global_pool,
            drop_rate=drop_rate,
        )
        for module in self.modules():  # torchvision's initialisation; it cuts off at 200 deviations, which takes time
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.normal_(module.weight, std=0.01)


@register_model
def googlenet(pretrained: bool = False, **arguments: Any) -> GoogLeNet:
    """GoogLeNet, 6.6 million parameters."""
    return create(GoogLeNet, "googlenet", LAYOUT, pretrained, **arguments)
