"""The zoo's backbones of this package. All can start from torchvision's ImageNet-1k weights (BSD-3-Clause)."""

from pathlib import Path
from typing import Any

import timm
from torch import nn

ZOO_CONTRACT = ">=1,<2"


def alexnet(*, pretrained: bool | str | Path, in_chans: int = 3, drop_rate: float = 0.5) -> nn.Module:
    """AlexNet (Krizhevsky et al. 2012; arXiv:1404.5997), 61.1 million parameters, ImageNet-1k top-1 56.5 % at 224 px.

    drop_rate: dropout before each of the two hidden layers. Images of 63 px and more.
    """
    return _build("alexnet", pretrained, in_chans=in_chans, drop_rate=drop_rate)


def googlenet(*, pretrained: bool | str | Path, in_chans: int = 3, drop_rate: float = 0.2) -> nn.Module:
    """GoogLeNet, or Inception v1 (Szegedy et al. 2014, arXiv:1409.4842), 6.6 million parameters, top-1 69.8 % at 224 px.

    drop_rate: dropout before the classifier. Batch normalisation, no auxiliary classifiers. Images of 15 px and more.
    """
    return _build("googlenet", pretrained, in_chans=in_chans, drop_rate=drop_rate)


def squeezenet1_0(*, pretrained: bool | str | Path, in_chans: int = 3, drop_rate: float = 0.5) -> nn.Module:
    """SqueezeNet 1.0 (Iandola et al. 2016, arXiv:1602.07360), 1.25 million parameters, top-1 58.1 % at 224 px.

    drop_rate: dropout before the classifier, a convolution that is pooled afterwards. Images of 21 px and more.
    """
    return _build("squeezenet1_0", pretrained, in_chans=in_chans, drop_rate=drop_rate)


def squeezenet1_1(*, pretrained: bool | str | Path, in_chans: int = 3, drop_rate: float = 0.5) -> nn.Module:
    """SqueezeNet 1.1 (Iandola et al. 2016), 1.24 million parameters, 2.4 times less computation, top-1 58.2 % at 224 px.

    drop_rate: dropout before the classifier, a convolution that is pooled afterwards. Images of 17 px and more.
    """
    return _build("squeezenet1_1", pretrained, in_chans=in_chans, drop_rate=drop_rate)


def shufflenet_v2_x0_5(*, pretrained: bool | str | Path, in_chans: int = 3, drop_rate: float = 0.0) -> nn.Module:
    """ShuffleNet v2 of half width (Ma et al. 2018, arXiv:1807.11164), 1.4 million parameters, top-1 60.6 % at 224 px.

    drop_rate: dropout before the classifier.
    """
    return _build("shufflenet_v2_x0_5", pretrained, in_chans=in_chans, drop_rate=drop_rate)


def shufflenet_v2_x1_0(*, pretrained: bool | str | Path, in_chans: int = 3, drop_rate: float = 0.0) -> nn.Module:
    """ShuffleNet v2 (Ma et al. 2018, arXiv:1807.11164), 2.3 million parameters, top-1 69.4 % at 224 px.

    drop_rate: dropout before the classifier.
    """
    return _build("shufflenet_v2_x1_0", pretrained, in_chans=in_chans, drop_rate=drop_rate)


def shufflenet_v2_x1_5(*, pretrained: bool | str | Path, in_chans: int = 3, drop_rate: float = 0.0) -> nn.Module:
    """ShuffleNet v2, 1.5 times as wide (Ma et al. 2018, arXiv:1807.11164), 3.5 million parameters, top-1 73.0 % at 224 px.

    drop_rate: dropout before the classifier.
    """
    return _build("shufflenet_v2_x1_5", pretrained, in_chans=in_chans, drop_rate=drop_rate)


def shufflenet_v2_x2_0(*, pretrained: bool | str | Path, in_chans: int = 3, drop_rate: float = 0.0) -> nn.Module:
    """ShuffleNet v2 twice as wide (Ma et al. 2018, arXiv:1807.11164), 7.4 million parameters, top-1 76.2 % at 224 px.

    drop_rate: dropout before the classifier.
    """
    return _build("shufflenet_v2_x2_0", pretrained, in_chans=in_chans, drop_rate=drop_rate)


def _build(name: str, pretrained: bool | str | Path, **options: Any) -> nn.Module:
    """A registered model. Raises ModelError where its weights cannot be had."""
    model = timm.create_model(name, pretrained=pretrained is True, **options)
    if not isinstance(pretrained, bool):
        from zoo.models.backbone import load_weights

        load_weights(model, Path(pretrained))
    return model
