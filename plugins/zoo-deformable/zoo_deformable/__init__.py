"""ResNets with deformable convolutions; importing this makes them timm models (`timm.create_model("deform_resnet50")`).

backbones    the zoo's entry points
resnet       timm's ResNet with deformable 3×3 convolutions in its last stages
convolution  the modulated deformable convolution
"""

from zoo_deformable import resnet

__all__ = ["resnet"]
