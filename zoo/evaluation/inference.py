"""A model's outputs for the images of a loader, every image once, by all processes together."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from zoo.data.loader import Loader, in_order
from zoo.distributed.processes import Processes
from zoo.errors import RunError
from zoo.models.mode import evaluating

Function = Callable[[Tensor], Tensor]
Tick = Callable[[int], None]
"""Is called with the number of images just done."""


@dataclass(frozen=True)
class Predictions:
    """What a model says of a split's images.

    logits: float32 (N, K) on the CPU; targets: (N, ...) as the task encodes them; indices: int64 (N,) of the images
    within the split, ascending.
    """

    logits: Tensor
    targets: Tensor
    indices: Tensor


def predict(
    model: nn.Module,
    loader: Loader,
    processes: Processes,
    batch_size: int,
    tick: Tick = lambda images: None,
    without: Collection[int] = (),
) -> Predictions:
    """Logits of every image of a loader, in order, by the model in eval mode.

    batch_size: images at once, all processes together; without: indices of images that cannot be read. Raises RunError
    for an image that no process evaluated.
    """
    count = len(loader.targets)
    with evaluating(model):
        logits = predict_all(model, loader, processes, count, batch_size, tick)
    indices = torch.from_numpy(np.setdiff1d(np.arange(count), list(without)))
    return Predictions(logits[indices], torch.from_numpy(loader.targets)[indices], indices)


def predict_all(
    function: Function,
    loader: Loader,
    processes: Processes,
    count: int,
    batch_size: int,
    tick: Tick = lambda images: None,
) -> Tensor:
    """`function` of every input 0..count-1 exactly once, in order, on the CPU as float32: (count, ...)."""
    result: Tensor | None = None
    outputs = predict_batches(function, loader, processes, in_order(np.arange(count), batch_size))
    for indices, part in each_once(outputs, count, tick):
        if result is None:
            result = torch.empty(count, *part.shape[1:])
        result[indices] = part
    return result


def predict_batches(
    function: Function, loader: Loader, processes: Processes, order: list[np.ndarray], epoch: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """(indices, `function` of their inputs) of all processes' shares of each batch, on the CPU, as float32.

    Indices are int64 (B,), values (B, ...).
    """
    for batch in loader.batches(order, epoch):
        with torch.inference_mode(), processes.autocast():
            part = function(batch.inputs)
        yield processes.gather(batch.indices, part.float())


def each_once(parts: Iterable[tuple[Tensor, Tensor]], count: int, tick: Tick) -> Iterator[tuple[Tensor, Tensor]]:
    """(indices, values) as they come. Raises RunError at the end for an image of 0..count-1 that none of them had.

    Indices are int64 (B,), values (B, ...).
    """
    seen = torch.zeros(count, dtype=torch.bool)
    for indices, part in parts:
        seen[indices] = True
        yield indices, part
        tick(len(indices.unique()))
    if not count or not bool(seen.all()):
        raise RunError(f"{int((~seen).sum())} of {count} images were not evaluated")
