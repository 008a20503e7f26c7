"""A stem, stages of layers and a head, with timm's model interface."""

from collections.abc import Sequence

from timm.layers import ClassifierHead
from timm.models.byobnet import ByobNet
from torch import nn

Tap = tuple[int, int, int]
"""A feature map that may be asked for: after which stage (0 is the stem), channels C, pixels of the input per step."""


class Staged(ByobNet):
    """timm's bring-your-own-blocks network with layers that are built already.

    All methods are timm's: `forward_features`, `forward_head`, `forward_intermediates`, `prune_intermediate_layers`,
    `group_matcher`, `reset_classifier`, `set_grad_checkpointing`. Images (B, `in_chans`, H, W) to logits (B, K).
    """

    def __init__(
        self,
        stem: nn.Sequential,
        stages: Sequence[nn.Sequential],
        final_conv: nn.Sequential | None,
        taps: Sequence[Tap],
        *,
        num_classes: int,
        in_chans: int,
        global_pool: str,
        drop_rate: float = 0.0,
        head: ClassifierHead | None = None,
    ) -> None:
        """taps: the feature maps of `features_only`; the last is what the head reads, after `final_conv`.

        head: another one than pooling, dropout and a linear layer.
        """
        nn.Module.__init__(self)  # ByobNet's own builds the layers from a configuration
        self.num_classes = num_classes
        self.in_chans = in_chans
        self.global_pool = global_pool
        self.drop_rate = drop_rate
        self.grad_checkpointing = False
        self.stem = stem
        self.stages = nn.Sequential(*stages)
        self.final_conv = nn.Identity() if final_conv is None else final_conv
        self.stage_ends = [stage for stage, _, _ in taps]
        self.feature_info = [
            {"num_chs": channels, "reduction": reduction, "module": self._end(stage), "stage": stage}
            for stage, channels, reduction in taps
        ]
        self.num_features = taps[-1][1]
        self.head = head or ClassifierHead(self.num_features, num_classes, pool_type=global_pool, drop_rate=drop_rate)
        self.head_hidden_size = self.head.num_features

    def _end(self, stage: int) -> str:
        """Name of the module that gives the feature map of a stage."""
        if stage == 0:
            return f"stem.{len(self.stem) - 1}"
        if stage == len(self.stages) and isinstance(self.final_conv, nn.Sequential):
            return f"final_conv.{len(self.final_conv) - 1}"
        return f"stages.{stage - 1}"
