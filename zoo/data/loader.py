"""Batches for one process: which images, in which order, with which weight, already on the device."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from zoo.config.recipe import Augment
from zoo.data.augment import SampleRng, augment, erase
from zoo.data.image_store import ImageStore, StreamedImageStore
from zoo.data.rng import stream
from zoo.data.transfer import alongside, on_device


@dataclass(frozen=True)
class Batch:
    """One process's share of a batch.

    inputs: what the module reads, (b, ...); targets: as the task encodes them, int64 (b,) or float32 (b, K).
    indices: int64 (b,) into the split, on the CPU.
    valid: float32 (b,), 1 for an image, 0 for one that only fills up a short last share; count: how many are 1.
    weights: float32 (b,), the importance of each image's loss, or None where all count alike.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    indices: torch.Tensor
    valid: torch.Tensor
    count: int
    weights: torch.Tensor | None = None


@dataclass(frozen=True)
class Shard:
    """This process among all: every process takes every `count`-th image, so that shares differ by one at most."""

    rank: int = 0
    count: int = 1

    def take(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(indices, valid) of this process's share, filled up to the size of the largest share; `valid` is 0 there.

        A share has two images if the batch has, since batch norm cannot train on one.
        indices: int64 (B,); both results have the same shape, (b,).
        """
        share = indices[self.rank :: self.count]
        size = max(-(-len(indices) // self.count), min(2, len(indices)))
        filled = np.concatenate([share, indices[: size - len(share)]])
        return filled, (np.arange(len(filled)) < len(share)).astype(np.float32)


@dataclass(frozen=True)
class Normalise:
    """uint8 or float pixels in 0..255 -> what the backbone was pretrained on: (x / 255 - mean) / std per channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels_last: bool

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        count, channels, height, width = images.shape
        scale, shift = _line(self.mean, self.std, images.device)
        if not self.channels_last:
            return torch.addcmul(shift.view(1, -1, 1, 1), images.float(), scale.view(1, -1, 1, 1)).contiguous()
        lines = images.permute(0, 2, 3, 1).reshape(count, height, width * channels).float()  # long rows vectorise
        lines = torch.addcmul(shift.repeat(width), lines, scale.repeat(width))
        return lines.view(count, height, width, channels).permute(0, 3, 1, 2)


@cache
def _line(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Slope and intercept by channel, float32, once per device."""
    slopes, intercepts = [1 / (255 * s) for s in std], [-m / s for m, s in zip(mean, std, strict=True)]
    return torch.tensor(slopes, device=device), torch.tensor(intercepts, device=device)


def shuffled(rows: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """The batches of one epoch over `rows`, all processes together; a last batch of one joins the one before.

    rows: int64 (N,); each batch is int64 (B,).
    """
    order = rows[np.random.default_rng(stream(seed, epoch, 104729)).permutation(len(rows))]
    return in_order(order, batch_size, merge_single=True)


def in_order(rows: np.ndarray, batch_size: int, merge_single: bool = False) -> list[np.ndarray]:
    """Consecutive batches. `merge_single` avoids a batch of one image, for which batch norm has no variance.

    rows: int64 (N,); each batch is int64 (B,).
    """
    batches = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    if merge_single and len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches


@dataclass(frozen=True)
class ImageLoader:
    """Batches of images: gathered, moved to the device, augmented (`how` given), normalised."""

    pixels: ImageStore
    targets: np.ndarray
    normalise: Normalise
    size: int
    device: torch.device
    shard: Shard
    how: Augment | None = None
    seed: int = 0
    weights: np.ndarray | None = None
    """float32 (N,), the importance of each image's loss; None where all count alike."""

    @property
    def streamed(self) -> bool:
        """Whether images are decoded anew in every pass."""
        return isinstance(self.pixels, StreamedImageStore)

    def batches(self, order: list[np.ndarray], epoch: int = 0) -> Iterator[Batch]:
        """This process's share of each batch in `order`. Inputs are float32 (b, C, S, S)."""
        return alongside(self._batches(order, epoch), self.device)

    def _batches(self, order: list[np.ndarray], epoch: int) -> Iterator[Batch]:
        shares = [self.shard.take(indices) for indices in order]
        images = self.pixels.batches([indices for indices, _ in shares])
        for (indices, valid), raw in zip(shares, images, strict=True):
            at = torch.from_numpy(indices)
            yield Batch(
                self._prepared(on_device(raw, self.device), at, epoch),
                on_device(torch.from_numpy(self.targets[indices]), self.device),
                at,
                on_device(torch.from_numpy(valid), self.device),
                int(valid.sum()),
                _weights(self.weights, indices, self.device),
            )

    def _prepared(self, images: torch.Tensor, indices: torch.Tensor, epoch: int) -> torch.Tensor:
        if self.how is None:
            return self.normalise(images)
        draws = SampleRng(self.seed, epoch, indices)
        return erase(self.normalise(augment(images, self.how, draws, self.size)), self.how.erase, draws)


@dataclass(frozen=True)
class FeatureLoader:
    """Batches of features that were computed once.

    views: features (N, ...) of the images in one or more augmentations, taken epoch by epoch in turn from `first` on.
    """

    views: Sequence[torch.Tensor]
    targets: np.ndarray
    device: torch.device
    shard: Shard
    first: int = 0
    weights: np.ndarray | None = None
    streamed = False

    def batches(self, order: list[np.ndarray], epoch: int = 0) -> Iterator[Batch]:
        """This process's share of each batch in `order`. Inputs are features float32 (b, ...)."""
        features = self.views[(epoch - self.first) % len(self.views)]
        for indices in order:
            share, valid = self.shard.take(indices)
            at = torch.from_numpy(share)
            yield Batch(
                on_device(features.index_select(0, at), self.device),
                on_device(torch.from_numpy(self.targets[share]), self.device),
                at,
                on_device(torch.from_numpy(valid), self.device),
                int(valid.sum()),
                _weights(self.weights, share, self.device),
            )


Loader = ImageLoader | FeatureLoader


def _weights(weights: np.ndarray | None, indices: np.ndarray, device: torch.device) -> torch.Tensor | None:
    return None if weights is None else on_device(torch.from_numpy(weights[indices]), device)


class TimedIterator:
    """The same batches, and the `seconds` that their reader waited for them."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self.batches, self.seconds = iter(batches), 0.0

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        start = time.perf_counter()
        try:
            return next(self.batches)
        finally:
            self.seconds += time.perf_counter() - start
