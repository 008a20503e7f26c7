"""The decoded images of a split: in memory as uint8 where they fit, else decoded by worker processes as they are needed."""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from torch.utils.data import DataLoader

from zoo.data.decoding import UnreadableImage, decode, short_side, square, to_array
from zoo.data.transfer import on_device
from zoo.errors import DataError

CHUNK = 1024
"""Encoded images read at once to tell data sets apart."""


@dataclass(frozen=True)
class EvalTransform:
    """How an image becomes a square: side in pixels, crop_pct as in evaluation, channels stored (1 for grey)."""

    size: int
    crop_pct: float = 1.0
    channels: int = 3

    @property
    def nbytes(self) -> int:
        return self.channels * self.size * self.size

    def __call__(self, encoded: Any) -> np.ndarray:
        """uint8 (C, size, size). Raises UnreadableImage."""
        picture = decode(encoded, short_side(self.size, self.crop_pct))
        return to_array(square(picture, self.size, self.crop_pct), self.channels)


@dataclass(frozen=True)
class EncodedImages:
    """Images as they are stored: `read(indices)` gives them still encoded, `name(i)` says which one image i is."""

    count: int
    read: Callable[[Sequence[int]], list[Any]]
    name: Callable[[int], str]

    def views(self, indices: Sequence[int], view: EvalTransform, faults: dict[int, str]) -> Iterator[np.ndarray | None]:
        """Decoded pixels of each image; None for an unreadable one, which is noted in `faults` with its name.

        Each is uint8 (C, S, S).
        """
        for index, encoded in zip(indices, self.read(indices), strict=True):
            try:
                yield view(encoded)
            except UnreadableImage as problem:
                faults[index] = f"{self.name(index)}: {problem}"
                yield None


class MemoryImageStore:
    """Every image decoded once: uint8 (N, C, size, size), in memory or on a GPU."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images = images

    @cached_property
    def digest(self) -> str:
        """A hash of every pixel."""
        return xxhash.xxh3_128_hexdigest(self.images.cpu().numpy())

    def batches(self, order: Sequence[np.ndarray]) -> Iterator[torch.Tensor]:
        """uint8 (B, C, size, size) for each array of indices, where the images are; pinned where a GPU will fetch it."""
        device = self.images.device
        fetched = device.type == "cpu" and torch.cuda.is_available()
        for indices in order:
            batch = torch.empty(
                (len(indices), *self.images.shape[1:]), dtype=torch.uint8, device=device, pin_memory=fetched
            )
            yield torch.index_select(self.images, 0, on_device(torch.from_numpy(indices), device), out=batch)


@dataclass(frozen=True)
class Decoder:
    """What a worker process has: images of `encoded` as `view` shows them; those in `skipped` are unreadable: all 0."""

    encoded: EncodedImages
    view: EvalTransform
    skipped: frozenset[int]

    def __len__(self) -> int:
        return self.encoded.count

    def __getitems__(self, indices: list[int]) -> torch.Tensor | DataError:
        """The batch, or what is wrong: an error raised in a worker would reach the user as a traceback."""
        faults: dict[int, str] = {}
        views = list(self.encoded.views(indices, self.view, faults))
        if unexpected := [fault for index, fault in faults.items() if index not in self.skipped]:
            return DataError(unreadable(unexpected, self.encoded.count))
        blank = np.zeros((self.view.channels, self.view.size, self.view.size), dtype=np.uint8)
        return torch.from_numpy(np.stack([blank if view is None else view for view in views]))


class StreamedImageStore:
    """Images decoded by `workers` processes, two batches each ahead of use; with 0 by this process, when they are due.

    The processes start with the first batch and serve every later pass, until this object goes or the program ends.
    """

    def __init__(
        self, encoded: EncodedImages, view: EvalTransform, workers: int, skipped: Collection[int] = ()
    ) -> None:
        self.encoded, self.view, self.workers = encoded, view, workers
        self._order: list[list[int]] = []
        self._pass = object()
        self._loader = DataLoader(
            Decoder(encoded, view, frozenset(skipped)),  # type: ignore[arg-type]
            batch_sampler=self._order,
            num_workers=workers,
            collate_fn=_as_is,
            generator=torch.Generator(),
            worker_init_fn=_start_worker,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=workers > 0,
        )

    def batches(self, order: Sequence[np.ndarray]) -> Iterator[torch.Tensor]:
        """uint8 (B, C, size, size) for each array of indices. A new pass ends the one before, whether finished or not.

        Raises DataError for an unreadable image, RuntimeError in a pass that goes on after another began.
        """
        own = self._pass = object()
        self._order[:] = [list(map(int, indices)) for indices in order]
        batches = iter(self._loader)
        for _ in order:
            batch = next(batches, None)
            if self._pass is not own:
                raise RuntimeError("a pass over streamed images went on after another had begun")
            if isinstance(batch, DataError):
                raise batch
            yield batch

    @cached_property
    def digest(self) -> str:
        """A hash of the images as they are stored, and of how they are decoded."""
        digest = xxhash.xxh3_128(repr(self.view).encode())
        for start in range(0, self.encoded.count, CHUNK):
            for record in self.encoded.read(range(start, min(start + CHUNK, self.encoded.count))):
                digest.update(_stamp(record))
        return digest.hexdigest()


ImageStore = MemoryImageStore | StreamedImageStore


def _stamp(record: Any) -> bytes:
    """What tells an encoded image from others: its bytes, or of a file all that changes with it but its contents."""
    if record is None:
        return b"\0"
    if record.get("bytes") is not None:
        return record["bytes"]
    path = Path(record["path"])
    about = path.stat() if path.is_file() else None
    return f"{path} {about and (about.st_size, about.st_mtime_ns, about.st_ctime_ns)}".encode(
        "utf-8", "surrogateescape"
    )


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _as_is(batch: torch.Tensor | DataError) -> torch.Tensor | DataError:
    return batch


def _start_worker(_: int) -> None:
    """One thread, and a process group of its own: a signal to the run's is for the run to answer, with a checkpoint."""
    torch.set_num_threads(1)
    os.setpgid(0, 0)


def load_into_memory(
    encoded: EncodedImages, view: EvalTransform, tick: Callable[[int], None]
) -> tuple[torch.Tensor, dict[int, str]]:
    """All images decoded, uint8 (N, C, size, size), and what is wrong with each unreadable one (its pixels are 0).

    tick: called with the number of images just done.
    """
    images = torch.zeros(encoded.count, view.channels, view.size, view.size, dtype=torch.uint8)
    return images, _decode_all(encoded, view, images.numpy(), tick)


def find_unreadable(encoded: EncodedImages, view: EvalTransform, tick: Callable[[int], None]) -> dict[int, str]:
    """What is wrong with each unreadable image, found by decoding all of them and keeping none."""
    return _decode_all(encoded, view, None, tick)


def _decode_all(
    encoded: EncodedImages, view: EvalTransform, target: np.ndarray | None, tick: Callable[[int], None]
) -> dict[int, str]:
    """Decode in threads, into `target` where it is an array; faults by index."""
    faults: dict[int, str] = {}

    def fill(indices: range) -> int:
        for i, pixels in zip(indices, encoded.views(indices, view, faults), strict=True):
            if pixels is not None and target is not None:
                target[i] = pixels
        return len(indices)

    chunks = [range(i, min(i + 256, encoded.count)) for i in range(0, encoded.count, 256)]
    with ThreadPoolExecutor(cores()) as pool:
        for done in pool.map(fill, chunks):
            tick(done)
    return dict(sorted(faults.items()))


def unreadable(messages: Sequence[str], count: int) -> str:
    """One line for any number of unreadable images."""
    first = "; ".join(messages[:3]) + (f"; and {len(messages) - 3} more" if len(messages) > 3 else "")
    return (
        f"{len(messages)} of {count} images cannot be read: {first}. "
        f"Mend or remove them, or pass data.corrupt=skip for training images"
    )
