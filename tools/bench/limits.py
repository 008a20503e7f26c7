"""What a device allows at most: images per second by its arithmetic and by its memory, both measured on it.

The arithmetic is that of a large matrix product. The memory is that of a large copy, and what a step moves is every tensor
that an operator of forward or backward reads or writes; a compiler that fuses operators may move less.
"""

import time
from collections.abc import Callable, Iterator

import torch
from bare_loop import CLASSES, build
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

SIDE = {"cuda": 8192, "cpu": 1024}
"""Of the matrices; the copy takes four of them."""
REPEATS = 10
WARM_UP = 3


def limits(backbone: str, size: int, batch: int, device: torch.device) -> Iterator[tuple[str, float]]:
    """(which limit, images per second that it allows) for training a backbone in bfloat16."""
    operations, moved = per_image(backbone, size, batch)
    side = SIDE[device.type]
    yield "arithmetic, by a bf16 matrix product", _rate(device, *product(side, device)) / operations
    yield "memory, by a copy", _rate(device, *copy(side, device)) / moved


def per_image(backbone: str, size: int, batch: int) -> tuple[float, float]:
    """(floating-point operations, bytes moved) of a training step by image, counted on tensors without contents."""
    model = build(backbone, size).to("meta", torch.bfloat16).train()
    images = torch.empty(batch, 3, size, size, device="meta", dtype=torch.bfloat16)
    labels = torch.empty(batch, device="meta", dtype=torch.long)
    with FlopCounterMode(display=False) as counter, Traffic() as traffic:
        F.cross_entropy(model(images).float(), labels).backward()
    assert model.get_classifier().out_features == CLASSES
    return counter.get_total_flops() / batch, traffic.bytes / batch


class Traffic(TorchDispatchMode):
    """Adds up what operators read and write; those that only look at memory in another shape move nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if not function.is_view:
            tensors = [t for t in tree_leaves((args, kwargs, result)) if isinstance(t, torch.Tensor)]
            self.bytes += sum(t.numel() * t.element_size() for t in tensors)
        return result


def product(side: int, device: torch.device) -> tuple[Callable[[], object], float]:
    """A matrix product to time, and its floating-point operations."""
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return lambda: left @ right, 2.0 * side**3


def copy(side: int, device: torch.device) -> tuple[Callable[[], object], float]:
    """A copy to time, and the bytes that it reads and writes."""
    source = torch.zeros(4, side, side, device=device)
    target = torch.empty_like(source)
    return lambda: target.copy_(source), 2.0 * source.numel() * source.element_size()


def _rate(device: torch.device, work: Callable[[], object], amount: float) -> float:
    """How much of it is done in a second."""
    for number in range(WARM_UP + REPEATS):
        if number == WARM_UP:
            _wait(device)
            began = time.perf_counter()
        work()
    _wait(device)
    return REPEATS * amount / (time.perf_counter() - began)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
