"""Ways of transfer: what is read of a pretrained model before a head is put on it.

    replace   images -> stages -> features -> [head]                      the default, and no wrapper at all
    stack     images -> stages -> features -> classifier -> [head]        `PretrainedLogits`
    insert    images -> stages -> features -> [block] -> head or classifier   `PreLogits`, `Bottleneck`, `WithAdapterBlock`
    cut       images -> stages up to a named one -> [head]                `TruncatedBackbone`
    concat    images -> backbone 1, backbone 2, ... -> features -> [head] `ConcatBackbones`

What stands in brackets is new and belongs to the group `head`.
"""

from collections.abc import Sequence

import torch
from torch import nn

from zoo.contracts import FeatureInfo
from zoo.errors import ModelError, UsageError, nearest
from zoo.models.backbone import config, per_channel
from zoo.models.mode import evaluating


class Wrapped(nn.Module):
    """A timm model that is read elsewhere than at the end of its `forward_features`."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    @property
    def pretrained_cfg(self) -> dict:
        return dict(config(self.backbone))

    def no_weight_decay(self) -> set[str]:
        return {f"backbone.{name}" for name in exempt(self.backbone)}

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Images (B, C, H, W) to what a head reads. Raises NotImplementedError; each subclass has its own."""
        raise NotImplementedError


class PretrainedLogits(Wrapped):
    """The pretrained classifier's own outputs (B, classes of the pretraining)."""

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Images (B, C, H, W) to the pretrained classifier's outputs (B, D)."""
        return self.backbone(x)


class PreLogits(Wrapped):
    """Features as the pretrained classifier reads them (B, D)."""

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Images (B, C, H, W) to pooled features (B, D)."""
        return self.backbone.forward_head(self.backbone.forward_features(x), pre_logits=True)


class Intermediate(Wrapped):
    """The feature map (B, C, H, W) after stage `index` of timm's `feature_info`, without a final norm."""

    def __init__(self, backbone: nn.Module, index: int) -> None:
        super().__init__(backbone)
        self.index = index

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Images (B, C, H, W) to the map (B, D, h, w) of the last stage that is left."""
        return self.backbone.forward_intermediates(x, indices=[self.index], intermediates_only=True)[-1]


class TruncatedBackbone(Intermediate):
    """The same with the stages above removed, so that nothing of them is computed, kept or saved."""


class ConcatBackbones(nn.Module):
    """Several backbones on the same images, their pooled features concatenated (B, D1 + D2 + ...).

    Images come normalised for the first; each further member sees them normalised as it was pretrained.
    """

    def __init__(self, members: Sequence[nn.Module], in_chans: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(PreLogits(member) for member in members)
        mean, std = (torch.tensor([per_channel(config(m)[key], in_chans) for m in members]) for key in ("mean", "std"))
        self.register_buffer("scale", (std[0] / std)[:, :, None, None], persistent=False)
        self.register_buffer("shift", ((mean[0] - mean) / std)[:, :, None, None], persistent=False)

    @property
    def pretrained_cfg(self) -> dict:
        return self.members[0].pretrained_cfg

    def no_weight_decay(self) -> set[str]:
        return {f"members.{i}.{name}" for i, member in enumerate(self.members) for name in exempt(member)}

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Images (B, C, H, W) to the pooled features of all backbones, (B, D)."""
        views = zip(self.members, self.scale, self.shift, strict=True)
        return torch.cat([member.forward_features(x * scale + shift) for member, scale, shift in views], 1)


class Bottleneck(nn.Module):
    """A residual block of `width` that starts as the identity (adapters, Houlsby et al. 2019, arXiv:1902.00751).

    Reads and gives any feature layout; the channels are where `features` says.
    """

    def __init__(self, features: FeatureInfo, width: int) -> None:
        super().__init__()
        self.channels_first = features.layout == "NCHW"
        self.norm = nn.LayerNorm(features.channels)
        self.down = nn.Linear(features.channels, width)
        self.act = nn.GELU()
        self.up = nn.Linear(width, features.channels)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features in any layout, (B, ...), to features of the same shape."""
        inner = x.movedim(1, -1) if self.channels_first else x
        added = self.up(self.act(self.down(self.norm(inner))))
        return x + (added.movedim(-1, 1) if self.channels_first else added)


class WithAdapterBlock(nn.Module):
    """A block between the features and the head that reads them."""

    def __init__(self, block: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.block = block
        self.head = head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features as the head reads them, to logits (B, K)."""
        return self.head(self.block(x))


def exempt(model: nn.Module) -> set[str]:
    """Names of the parameters that a model takes out of weight decay."""
    return set(model.no_weight_decay()) if hasattr(model, "no_weight_decay") else set()


def innermost(backbone: nn.Module) -> nn.Module:
    """The timm model inside a wrapper; of several, the first."""
    while isinstance(backbone, Wrapped | ConcatBackbones):
        backbone = backbone.backbone if isinstance(backbone, Wrapped) else backbone.members[0]
    return backbone


def cut(model: nn.Module, stage: str, example: torch.Tensor) -> TruncatedBackbone:
    """`model` up to `stage` (`layer3`, `features.denseblock3`, `blocks.5`), the stages above removed.

    Raises UsageError for an unknown stage, ModelError where removing them changes what comes out on `example`.
    example: images (B, C, H, W).
    """
    index = _stage_index(model, stage)
    part = TruncatedBackbone(model, index)
    with evaluating(model), torch.no_grad():
        before = part.forward_features(example)
        try:
            model.prune_intermediate_layers([index], prune_norm=True, prune_head=True)
            same = torch.equal(before, part.forward_features(example))
        except (AttributeError, AssertionError, RuntimeError, TypeError, IndexError) as error:
            raise ModelError(f"model.cut: {type(model).__name__} cannot be cut at '{stage}': {error}") from error
    if not same:
        raise ModelError(f"model.cut: {type(model).__name__} gives other features once cut at '{stage}'")
    return part


def _stage_index(model: nn.Module, stage: str) -> int:
    names = stage_names(model)
    hits = [i for i, name in enumerate(names) if name == stage or name.endswith(f".{stage}")]
    if len(hits) != 1:
        raise UsageError(
            f"model.cut: {type(model).__name__} has no stage '{stage}' (has: {', '.join(names)}).{nearest(stage, names)}"
        )
    return hits[0]


def stage_names(model: nn.Module) -> list[str]:
    """Where a model can be cut: the modules after which timm taps features, from the bottom up."""
    info = getattr(model, "feature_info", [])
    entries = info if isinstance(info, list) else info.get_dicts()
    return [str(entry.get("module", i)) for i, entry in enumerate(entries)]
