"""torchvision's models that timm lacks; importing this makes them timm models (`timm.create_model("alexnet")`).

backbones  the zoo's entry points
alexnet, googlenet, squeezenet, shufflenet  one family each: torchvision's layers behind timm's model interface
published  torchvision's weights, by name
layout     where torchvision's layers stand in a model of stages
staged     a stem, stages and a head with timm's model interface
"""

from zoo_torchvision import alexnet, googlenet, shufflenet, squeezenet

__all__ = ["alexnet", "googlenet", "shufflenet", "squeezenet"]
