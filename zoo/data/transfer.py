"""Tensors on their way to the device."""

from collections.abc import Iterator
from typing import TypeVar

import torch

T = TypeVar("T")


def on_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor there, without the host waiting until a GPU has done what it was given before.

    It may have any shape.
    """
    if device.type == "cuda" and tensor.device.type == "cpu" and not tensor.is_pinned():
        tensor = tensor.contiguous().pin_memory()  # from other memory the driver copies in step with the host
    return tensor.to(device, non_blocking=True)


def alongside(batches: Iterator[T], device: torch.device) -> Iterator[T]:
    """The same batches, objects with tensors; a GPU makes each in a stream of its own while it computes on those before."""
    if device.type != "cuda":
        yield from batches
        return
    stream, reading = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    stream.wait_stream(reading)  # what batches are made of may not be there yet
    while True:
        with torch.cuda.stream(stream):
            batch = next(batches, None)
        if batch is None:
            return
        reading.wait_stream(stream)
        for tensor in vars(batch).values():
            if isinstance(tensor, torch.Tensor) and tensor.is_cuda:
                tensor.record_stream(reading)  # else its memory may be given away while it is read
        yield batch
