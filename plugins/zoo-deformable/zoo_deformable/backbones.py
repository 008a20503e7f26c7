"""The zoo's backbones of this package. At first they compute what timm's plain ResNets do, and take their weights."""

from pathlib import Path
from typing import Any

import timm
from torch import nn

ZOO_CONTRACT = ">=1,<2"


def deform_resnet18(
    *,
    pretrained: bool | str | Path,
    in_chans: int = 3,
    deform_stages: int = 3,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> nn.Module:
    """ResNet-18 with modulated deformable convolutions (Dai et al. 2017, arXiv:1703.06211; Zhu et al. 2018,
    arXiv:1811.11168), 11.7 + 0.4 million parameters; pretrained: timm's `resnet18` (Apache-2.0), offsets at zero.

    deform_stages: how many of the four stages are deformable, counted from the last. drop_rate: dropout before the
    classifier; drop_path_rate: stochastic depth.
    """
    options = {"deform_stages": deform_stages, "drop_rate": drop_rate, "drop_path_rate": drop_path_rate}
    return _build("deform_resnet18", pretrained, in_chans=in_chans, **options)


def deform_resnet50(
    *,
    pretrained: bool | str | Path,
    in_chans: int = 3,
    deform_stages: int = 3,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> nn.Module:
    """ResNet-50 with modulated deformable convolutions (Dai et al. 2017, arXiv:1703.06211; Zhu et al. 2018,
    arXiv:1811.11168), 25.6 + 0.9 million parameters; pretrained: timm's `resnet50` (Apache-2.0), offsets at zero.

    deform_stages: how many of the four stages are deformable, counted from the last. drop_rate: dropout before the
    classifier; drop_path_rate: stochastic depth.
    """
    options = {"deform_stages": deform_stages, "drop_rate": drop_rate, "drop_path_rate": drop_path_rate}
    return _build("deform_resnet50", pretrained, in_chans=in_chans, **options)


def _build(name: str, pretrained: bool | str | Path, **options: Any) -> nn.Module:
    """A registered model. Raises ModelError where its weights cannot be had."""
    from zoo.hub import hub
    from zoo.models.backbone import NEXT, load_weights

    with hub(name, NEXT, needed=pretrained is True):
        model = timm.create_model(name, pretrained=pretrained is True, **options)
    if not isinstance(pretrained, bool):
        load_weights(model, Path(pretrained))
    return model
