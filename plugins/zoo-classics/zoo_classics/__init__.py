"""Two networks that neither timm nor torchvision has; importing this makes them timm models (`timm.create_model("nin")`).

backbones         the zoo's entry points
nin, shufflenet   one architecture each
staged            a stem, stages and a head with timm's model interface
"""

from zoo_classics import nin, shufflenet

__all__ = ["nin", "shufflenet"]
