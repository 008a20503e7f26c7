"""The zoo's backbones of this package. No ImageNet weights of them are published."""

from pathlib import Path
from typing import Any

import timm
from torch import nn

ZOO_CONTRACT = ">=1,<2"


def nin(*, pretrained: bool | str | Path, in_chans: int = 3, drop_rate: float = 0.5) -> nn.Module:
    """Network in Network (Lin, Chen and Yan 2013, arXiv:1312.4400), the ImageNet form, 7.6 million parameters.

    drop_rate: dropout before the last stage. No batch normalisation. Images of 39 px and more.
    No pretrained weights.
    """
    return _build("nin", pretrained, in_chans=in_chans, drop_rate=drop_rate)


def shufflenet_v1(
    *,
    pretrained: bool | str | Path,
    in_chans: int = 3,
    groups: int = 3,
    width: float = 1.0,
    drop_rate: float = 0.0,
) -> nn.Module:
    """ShuffleNet v1 (Zhang et al. 2017, arXiv:1707.01083), 1.9 million parameters with 3 groups.

    groups: of the pointwise convolutions, 1, 2, 3, 4 or 8; more groups have more channels for the same computation.
    width: factor of all channels (0.25, 0.5, 1.0, 1.5, 2.0 in the paper). drop_rate: dropout before the classifier.
    No pretrained weights.
    """
    return _build("shufflenet_v1", pretrained, in_chans=in_chans, groups=groups, width=width, drop_rate=drop_rate)


def _build(name: str, pretrained: bool | str | Path, **options: Any) -> nn.Module:
    """A registered model. Raises ModelError for weights of its own, which there are none of."""
    from zoo.errors import ModelError
    from zoo.models.backbone import load_weights

    if pretrained is True:
        raise ModelError(
            f"backbone '{name}' has no published weights. "
            "Try model.pretrained=false (random weights) or the path of a safetensors file"
        )
    model = timm.create_model(name, **options)
    if pretrained:
        load_weights(model, Path(pretrained))
    return model
