"""timm's ResNet with deformable 3×3 convolutions in its last stages, as in Zhu et al. 2018 (arXiv:1811.11168)."""

from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, get_pretrained_cfg, register_model
from timm.models.resnet import BasicBlock, Bottleneck, ResNet

from zoo_deformable.convolution import DeformConv2d

PLAIN = {"deform_resnet18": "resnet18", "deform_resnet50": "resnet50"}
"""What each starts from: timm's default weights of it."""


def _default_cfgs() -> dict[str, Any]:
    cfgs = {name: get_pretrained_cfg(plain) for name, plain in PLAIN.items()}
    return generate_default_cfgs({f"{name}.{cfg.tag}": cfg.to_dict() for name, cfg in cfgs.items()})


default_cfgs = _default_cfgs()


class DeformResNet(ResNet):
    """A ResNet in which `conv2` of every block of the last stages is deformable; all else is timm's."""

    def __init__(self, *arguments: Any, deform_stages: int = 3, **options: Any) -> None:
        """deform_stages: how many of the four stages, counted from the last, are deformable."""
        if not 1 <= deform_stages <= 4:
            raise ValueError(f"deform_stages={deform_stages} must lie in 1 to 4")
        super().__init__(*arguments, **options)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4)[-deform_stages:]:
            for block in stage:
                block.conv2 = DeformConv2d(block.conv2)

    def init_weights(self, zero_init_last: bool = True) -> None:
        """timm's initialisation, with taps that stay in place."""
        super().init_weights(zero_init_last)
        for module in self.modules():
            if isinstance(module, DeformConv2d):
                module.zero_offset()


def _with_offsets(tensors: dict[str, torch.Tensor], model: DeformResNet) -> dict[str, torch.Tensor]:
    """Weights of a plain ResNet and the offsets that the model has; weights that hold offsets stay as they are."""
    own = {name: tensor for name, tensor in model.state_dict().items() if ".conv2.offset." in name}
    return {**own, **tensors}


def _create(name: str, pretrained: bool, arguments: dict[str, Any]) -> DeformResNet:
    return build_model_with_cfg(DeformResNet, name, pretrained, pretrained_filter_fn=_with_offsets, **arguments)


@register_model
def deform_resnet18(pretrained: bool = False, **arguments: Any) -> DeformResNet:
    """ResNet-18 with deformable convolutions in its last stages."""
    return _create("deform_resnet18", pretrained, {"block": BasicBlock, "layers": (2, 2, 2, 2), **arguments})


@register_model
def deform_resnet50(pretrained: bool = False, **arguments: Any) -> DeformResNet:
    """ResNet-50 with deformable convolutions in its last stages."""
    return _create("deform_resnet50", pretrained, {"block": Bottleneck, "layers": (3, 4, 6, 3), **arguments})
