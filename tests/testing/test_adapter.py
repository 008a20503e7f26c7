"""A sound adapter keeps every point; each fault is found at its point."""

import pytest
import torch
from torch import nn
from verdict import failed

from zoo.contracts import Adapted
from zoo.testing import check_adapter

ZOO_CONTRACT = ">=1,<2"


class LowRank(nn.Module):
    """A linear layer plus a product of two thin matrices, the second of them zero at first."""

    def __init__(self, layer: nn.Linear, rank: int, start: float = 0.0) -> None:
        super().__init__()
        self.layer = layer
        self.down = nn.Parameter(torch.randn(rank, layer.in_features) * 0.1)
        self.up = nn.Parameter(torch.full((layer.out_features, rank), start))

    def forward(self, x):
        return self.layer(x) + x @ self.down.T @ self.up.T


def _put(model: nn.Module, rank: int, start: float = 0.0) -> list[tuple[nn.Module, str]]:
    places = [
        (owner, name)
        for owner in list(model.modules())
        for name, child in owner.named_children()
        if isinstance(child, nn.Linear) and name == "qkv"
    ]
    if not places:
        raise ValueError("reads models with attention only")
    for owner, name in places:
        setattr(owner, name, LowRank(getattr(owner, name), rank, start))
    return places


def sound(backbone: nn.Module, rank: int = 2) -> Adapted:
    """LoRA on attention (arXiv:2106.09685). rank: width of the product."""
    places = _put(backbone, rank)

    def merge() -> nn.Module:
        with torch.no_grad():
            for owner, name in places:
                low = getattr(owner, name)
                low.layer.weight += low.up @ low.down
                setattr(owner, name, low.layer)
        return backbone

    return Adapted(backbone, merge)


def test_a_sound_adapter():
    check_adapter(sound)
    check_adapter(sound, rank=1)


def forgets_to_merge(backbone: nn.Module) -> Adapted:
    """Leaves what it learned behind."""
    places = _put(backbone, 2)

    def merge() -> nn.Module:
        for owner, name in places:
            setattr(owner, name, getattr(owner, name).layer)
        return backbone

    return Adapted(backbone, merge)


def stays(backbone: nn.Module) -> Adapted:
    """Merges nothing."""
    _put(backbone, 2)
    return Adapted(backbone, lambda: backbone)


def starts_elsewhere(backbone: nn.Module) -> Adapted:
    """Begins with another model."""
    _put(backbone, 2, start=1.0)
    return Adapted(backbone, lambda: backbone)


def idle(backbone: nn.Module) -> Adapted:
    """Adds nothing."""
    return Adapted(backbone, lambda: backbone)


def bare(backbone: nn.Module) -> nn.Module:
    """A model alone."""
    return backbone


def picky(backbone: nn.Module) -> Adapted:
    """Takes nothing."""
    raise ValueError("reads nothing")


FAULTS = {
    forgets_to_merge: {"training": "merged, they differ by up to"},
    stays: {"training": "is in one of the two models only"},
    starts_elsewhere: {"untrained": "they differ by up to"},
    idle: {"training": "no new parameters"},
    bare: {"families": "a VisionTransformer"},
    picky: {"families": "a ValueError for each of"},
}


@pytest.mark.parametrize("adapter", FAULTS, ids=lambda adapter: adapter.__name__)
def test_each_fault_is_found(adapter):
    found = failed("adapter", adapter)
    for point, text in FAULTS[adapter].items():
        assert text in found[point]
