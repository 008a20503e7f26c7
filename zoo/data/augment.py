"""Random changes of a batch of training images, on the device, one draw per image.

Shifts and flips move whole pixels; rotation and resized crops resample once, together.
"""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from zoo.config.recipe import Augment
from zoo.data.rng import stream, uniform
from zoo.data.transfer import on_device

FLIP, SHIFT_Y, SHIFT_X, AREA, ASPECT, TOP, LEFT, ANGLE, BRIGHT, CONTRAST, SATURATION = range(11)
ERASE, ERASE_AREA, ERASE_ASPECT, ERASE_TOP, ERASE_LEFT = range(11, 16)


@dataclass(frozen=True)
class SampleRng:
    """Uniform numbers for the images `indices` in one epoch."""

    seed: int
    epoch: int
    indices: torch.Tensor

    def __call__(self, draw: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        return low + (high - low) * uniform(self.seed, self.epoch, self.indices, draw)


def augment(images: torch.Tensor, how: Augment, draws: SampleRng, size: int) -> torch.Tensor:
    """uint8 (B, C, S, S) -> (B, C, size, size), uint8 while only whole pixels moved, else float32 in 0..255."""
    resample = how.crop == "resized" or how.rotate
    images = _resampled(images, how, draws, size) if resample else _moved(images, how, draws)
    if how.jitter:
        images = _jittered(images.float(), how.jitter, draws)
    return images


def erase(images: torch.Tensor, probability: float, draws: SampleRng) -> torch.Tensor:
    """Normalised images with a random rectangle of 2-33 % of the area set to 0, the mean."""
    if not probability:
        return images
    size = images.shape[-1]
    area = draws(ERASE_AREA, 0.02, 1 / 3)
    aspect = torch.exp(draws(ERASE_ASPECT, math.log(0.3), math.log(1 / 0.3)))
    height = (torch.sqrt(area * aspect) * size).round().clamp(1, size)
    width = (torch.sqrt(area / aspect) * size).round().clamp(1, size)
    top, left = draws(ERASE_TOP) * (size - height + 1), draws(ERASE_LEFT) * (size - width + 1)
    lines = _span(top.floor(), height, size) & (draws(ERASE) < probability)[:, None]
    columns = _span(left.floor(), width, size)
    lines, columns = on_device(lines, images.device), on_device(columns, images.device)
    return images.masked_fill(lines[:, None, :, None] & columns[:, None, None, :], 0.0)


def _span(start: torch.Tensor, length: torch.Tensor, size: int) -> torch.Tensor:
    at = torch.arange(size)
    return (at >= start[:, None]) & (at < (start + length)[:, None])


def _moved(images: torch.Tensor, how: Augment, draws: SampleRng) -> torch.Tensor:
    """Flips and padded crops: every pixel keeps its value."""
    if not how.flip and how.crop == "none":
        return images
    size, count = images.shape[-1], len(images)
    rows = torch.arange(size).expand(count, size)
    columns = rows
    if how.crop == "padded":
        reach = max(1, size // 8)
        rows = _mirrored(rows + draws(SHIFT_Y, -reach, reach + 1).floor().long()[:, None], size)
        columns = _mirrored(columns + draws(SHIFT_X, -reach, reach + 1).floor().long()[:, None], size)
    if how.flip:
        columns = torch.where((draws(FLIP) < 0.5)[:, None], size - 1 - columns, columns)
    rows, columns = on_device(rows, images.device), on_device(columns, images.device)
    flat, channels = (rows[:, :, None] * size + columns[:, None, :]).view(count, 1, -1), images.shape[1]
    return images.reshape(count, channels, -1).gather(2, flat.expand(-1, channels, -1)).view_as(images)


def _mirrored(at: torch.Tensor, size: int) -> torch.Tensor:
    at = at.abs()
    return torch.where(at >= size, 2 * (size - 1) - at, at)


def _resampled(images: torch.Tensor, how: Augment, draws: SampleRng, size: int) -> torch.Tensor:
    """Resized crop, rotation, shift and flip as one affine map and one bilinear sampling."""
    if how.crop == "resized":
        area = draws(AREA, how.min_scale, 1.0)
        aspect = torch.exp(draws(ASPECT, math.log(3 / 4), math.log(4 / 3)))
        height, width = (torch.sqrt(area * aspect)).clamp(max=1), (torch.sqrt(area / aspect)).clamp(max=1)
        down, right = draws(TOP, -1, 1) * (1 - height), draws(LEFT, -1, 1) * (1 - width)
    else:
        height = width = torch.ones(len(images))
        reach = 0.25 if how.crop == "padded" else 0.0
        down, right = draws(SHIFT_Y, -reach, reach), draws(SHIFT_X, -reach, reach)
    mirror = torch.where(draws(FLIP) < 0.5, -1.0, 1.0) if how.flip else torch.ones(len(images))
    angle = draws(ANGLE, -1, 1) * math.radians(how.rotate)
    cos, sin = torch.cos(angle), torch.sin(angle)
    theta = torch.stack([cos * width * mirror, -sin * height, right, sin * width * mirror, cos * height, down], 1)
    theta = on_device(theta.view(-1, 2, 3), images.device)
    grid = F.affine_grid(theta, [len(images), images.shape[1], size, size], align_corners=False)
    return F.grid_sample(images.float(), grid, padding_mode="reflection", align_corners=False)


def _jittered(images: torch.Tensor, by: float, draws: SampleRng) -> torch.Tensor:
    bright, contrast, saturation = (
        on_device(draws(d, 1 - by, 1 + by), images.device).view(-1, 1, 1, 1) for d in (BRIGHT, CONTRAST, SATURATION)
    )
    images = images * bright
    mean = images.mean((1, 2, 3), keepdim=True)
    images = mean + (images - mean) * contrast
    if images.shape[1] == 3:
        grey = 0.299 * images[:, :1] + 0.587 * images[:, 1:2] + 0.114 * images[:, 2:]
        images = grey + (images - grey) * saturation
    return images.clamp(0, 255)


def mix(
    images: torch.Tensor, targets: torch.Tensor, how: Augment, seed: int, epoch: int, batch: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """mixup or CutMix of a batch with itself, rolled by one; targets are probabilities (B, K)."""
    alphas = [a for a in (how.mixup, how.cutmix) if a]
    if not alphas or len(images) < 2:
        return images, targets
    generator = torch.Generator().manual_seed(stream(seed, epoch, batch, 7919))
    cut = how.cutmix > 0 and (how.mixup == 0 or bool(torch.rand((), generator=generator) < 0.5))
    share = _beta(how.cutmix if cut else how.mixup, generator)
    other = images.roll(1, 0)
    if not cut:
        return images.lerp(other, 1 - share), targets.lerp(targets.roll(1, 0), 1 - share)
    size = images.shape[-1]
    side = math.sqrt(1 - share) * size
    at = torch.rand(2, generator=generator) * size
    (top, left), (bottom, right) = (((at + sign * side / 2).round().clamp(0, size).int().tolist()) for sign in (-1, 1))
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = other[:, :, top:bottom, left:right]
    share = 1 - (bottom - top) * (right - left) / size**2
    return mixed, targets.lerp(targets.roll(1, 0), 1 - share)


def _beta(alpha: float, generator: torch.Generator) -> float:
    """One draw from Beta(alpha, alpha) by two gammas."""
    gammas = torch._standard_gamma(torch.full((2,), alpha, dtype=torch.float64), generator=generator)
    return float(gammas[0] / gammas.sum()) if gammas.sum() > 0 else 0.5
