"""Network in Network: Lin, Chen and Yan 2013 (arXiv:1312.4400), with the widths its authors used for ImageNet."""

from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

from zoo_classics.staged import Staged

TAPS = ((0, 96, 4), (1, 256, 8), (2, 384, 16), (3, 1024, 32))

default_cfgs = generate_default_cfgs(
    {
        "nin.untrained": {
            "input_size": (3, 224, 224),
            "mean": IMAGENET_DEFAULT_MEAN,
            "std": IMAGENET_DEFAULT_STD,
            "first_conv": "stem.0",
            "classifier": "head.fc",
            "paper_ids": "arXiv:1312.4400",
        }
    }
)


class NiN(Staged):
    """Four convolutions, each followed by a small network on every pixel, two 1×1 convolutions.

    The classifier is the last of these 1×1 convolutions. Without a rectifier after it, which would hold logits at zero
    and above, it may as well follow the average: it is timm's usual pooling and linear layer.
    """

    def __init__(
        self, num_classes: int = 1000, in_chans: int = 3, global_pool: str = "avg", drop_rate: float = 0.5
    ) -> None:
        """drop_rate: dropout before the last stage."""
        super().__init__(
            _mlpconv(in_chans, 96, kernel_size=11, stride=4),
            (
                nn.Sequential(_pool(), *_mlpconv(96, 256, kernel_size=5, padding=2)),
                nn.Sequential(_pool(), *_mlpconv(256, 384, kernel_size=3, padding=1)),
                nn.Sequential(
                    _pool(), nn.Dropout(drop_rate), *_mlpconv(384, 1024, pointwise=1, kernel_size=3, padding=1)
                ),
            ),
            None,
            TAPS,
            num_classes=num_classes,
            in_chans=in_chans,
            global_pool=global_pool,
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)


def _mlpconv(in_chans: int, width: int, pointwise: int = 2, **convolution: int) -> nn.Sequential:
    """A convolution, then so many 1×1 convolutions, all of one width and with rectifiers."""
    layers = [nn.Conv2d(in_chans, width, **convolution), nn.ReLU(inplace=True)]
    for _ in range(pointwise):
        layers += [nn.Conv2d(width, width, 1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


@register_model
def nin(pretrained: bool = False, **arguments: Any) -> NiN:
    """Network in Network, 7.6 million parameters."""
    feature_cfg = {"flatten_sequential": True, "out_indices": tuple(range(len(TAPS)))}
    return build_model_with_cfg(NiN, "nin", pretrained, feature_cfg=feature_cfg, **arguments)
