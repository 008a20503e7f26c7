"""Random changes of a batch of training images, on the device, one draw per image.

Shifts and flips move whole pixels. As soon as another spatial operation is on, all of them together are one affine map
and one bilinear sampling. `AFFINE`, `COLOUR` and `MIX` hold one function for each operation of `data.augment`,
whose fields are in `Augment` of `zoo/config/recipe.py`. To add an operation: a field there and a function here.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.config.recipe import Augment
from zoo.data.rng import stream, uniform
from zoo.data.transfer import on_device

FLIP, SHIFT_Y, SHIFT_X, AREA, ASPECT, TOP, LEFT, ANGLE, BRIGHT, CONTRAST, SATURATION = range(11)
ERASE, ERASE_AREA, ERASE_ASPECT, ERASE_TOP, ERASE_LEFT, SHEAR = range(11, 17)


@dataclass(frozen=True)
class SampleRng:
    """Uniform numbers for the images `indices` in one epoch. Each draw is float32 (B,)."""

    seed: int
    epoch: int
    indices: Tensor

    def __call__(self, draw: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * uniform(self.seed, self.epoch, self.indices, draw)


@dataclass(frozen=True)
class Affine:
    """Where each image's output pixels come from: (x, y) -> matrix (x, y) + (right, down), in -1..1 across the image.

    a, b, c, d: the rows (a, b) and (c, d) of the matrix; right, down: the shift. Each is float32 (B,), or one number
    for all images.
    """

    a: Tensor | float = 1.0
    b: Tensor | float = 0.0
    c: Tensor | float = 0.0
    d: Tensor | float = 1.0
    right: Tensor | float = 0.0
    down: Tensor | float = 0.0

    def after(self, first: "Affine") -> "Affine":
        """Both maps' matrices multiplied, `first` on the right; shifts add up unturned."""
        return Affine(
            self.a * first.a + self.b * first.c,
            self.a * first.b + self.b * first.d,
            self.c * first.a + self.d * first.c,
            self.c * first.b + self.d * first.d,
            self.right + first.right,
            self.down + first.down,
        )

    def theta(self, count: int) -> Tensor:
        """What `affine_grid` takes: float32 (count, 2, 3)."""
        entries = (self.a, self.b, self.right, self.c, self.d, self.down)
        return torch.stack([torch.as_tensor(e).float().expand(count) for e in entries], 1).view(-1, 2, 3)


def augment(images: Tensor, how: Augment, draws: SampleRng, size: int) -> Tensor:
    """uint8 (B, C, S, S) -> (B, C, size, size), uint8 while only whole pixels moved, else float32 in 0..255."""
    spatial = how.active("spatial")
    moves = set(spatial) <= {"flip", "crop"} and how.crop != "resized"
    images = _moved(images, how, draws) if moves else _resampled(images, spatial, how, draws, size)
    for name in how.active("colour"):
        images = COLOUR[name](images.float(), getattr(how, name), draws)
    return images


def erase(images: Tensor, probability: float, draws: SampleRng) -> Tensor:
    """Normalised images with a random rectangle of 2-33 % of the area set to 0, the mean.

    Images are float32 (B, C, S, S).
    """
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


def _span(start: Tensor, length: Tensor, size: int) -> Tensor:
    at = torch.arange(size)
    return (at >= start[:, None]) & (at < (start + length)[:, None])


def _moved(images: Tensor, how: Augment, draws: SampleRng) -> Tensor:
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


def _mirrored(at: Tensor, size: int) -> Tensor:
    at = at.abs()
    return torch.where(at >= size, 2 * (size - 1) - at, at)


def _resampled(images: Tensor, spatial: list[str], how: Augment, draws: SampleRng, size: int) -> Tensor:
    """All spatial operations that are on, as one affine map and one bilinear sampling."""
    whole = Affine()
    for name in (name for name in AFFINE if name in spatial):
        whole = whole.after(AFFINE[name](how, draws))
    theta = on_device(whole.theta(len(images)), images.device)
    grid = F.affine_grid(theta, [len(images), images.shape[1], size, size], align_corners=False)
    return F.grid_sample(images.float(), grid, padding_mode="reflection", align_corners=False)


def _rotation(how: Augment, draws: SampleRng) -> Affine:
    angle = draws(ANGLE, -1, 1) * math.radians(how.rotate)
    cos, sin = torch.cos(angle), torch.sin(angle)
    return Affine(cos, -sin, sin, cos)


def _shear(how: Augment, draws: SampleRng) -> Affine:
    return Affine(b=torch.tan(draws(SHEAR, -1, 1) * math.radians(how.shear)))


def _window(how: Augment, draws: SampleRng) -> Affine:
    """The part of the image that a crop shows."""
    if how.crop == "padded":
        return Affine(right=draws(SHIFT_X, -0.25, 0.25), down=draws(SHIFT_Y, -0.25, 0.25))
    area = draws(AREA, how.min_scale, 1.0)
    aspect = torch.exp(draws(ASPECT, math.log(3 / 4), math.log(4 / 3)))
    height, width = (torch.sqrt(area * aspect)).clamp(max=1), (torch.sqrt(area / aspect)).clamp(max=1)
    down, right = draws(TOP, -1, 1) * (1 - height), draws(LEFT, -1, 1) * (1 - width)
    return Affine(width, 0.0, 0.0, height, right, down)


def _mirror(how: Augment, draws: SampleRng) -> Affine:
    return Affine(torch.where(draws(FLIP) < 0.5, -1.0, 1.0))


def _jittered(images: Tensor, by: float, draws: SampleRng) -> Tensor:
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


def mix(images: Tensor, targets: Tensor, how: Augment, seed: int, epoch: int, batch: int) -> tuple[Tensor, Tensor]:
    """Mix a batch (B, C, S, S) with itself, rolled by one, by mixup or CutMix; with both on, each batch draws one.

    Targets are shares (B, K) and are mixed alike. A batch of one image stays as it is.
    """
    names = how.active("mix")
    if not names or len(images) < 2:
        return images, targets
    generator = torch.Generator().manual_seed(stream(seed, epoch, batch, 7919))
    name = names[0]
    if len(names) > 1:
        name = "cutmix" if bool(torch.rand((), generator=generator) < 0.5) else "mixup"
    share = _beta(getattr(how, name), generator)
    mixed, share = MIX[name](images, images.roll(1, 0), share, generator)
    return mixed, targets.lerp(targets.roll(1, 0), 1 - share)


def _mixup(images: Tensor, other: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, float]:
    """Both images (B, C, S, S) blended, `share` of the first, and that share."""
    return images.lerp(other, 1 - share), share


def _cutmix(images: Tensor, other: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, float]:
    """A square of the other image put into the first, and the share of the area that the first keeps."""
    size = images.shape[-1]
    side = math.sqrt(1 - share) * size
    at = torch.rand(2, generator=generator) * size
    (top, left), (bottom, right) = (((at + sign * side / 2).round().clamp(0, size).int().tolist()) for sign in (-1, 1))
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = other[:, :, top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / size**2


def _beta(alpha: float, generator: torch.Generator) -> float:
    """One draw from Beta(alpha, alpha) by two gammas."""
    gammas = torch._standard_gamma(torch.full((2,), alpha, dtype=torch.float64), generator=generator)
    return float(gammas[0] / gammas.sum()) if gammas.sum() > 0 else 0.5


AFFINE: dict[str, Callable[[Augment, SampleRng], Affine]] = {
    "rotate": _rotation,
    "shear": _shear,
    "crop": _window,
    "flip": _mirror,
}
"""The spatial operations, outermost first: output pixels are mirrored, cropped, sheared, then rotated to their source."""
COLOUR: dict[str, Callable[[Tensor, float, SampleRng], Tensor]] = {"jitter": _jittered}
"""The colour operations: (float32 images in 0..255, value of the field, draws) -> images."""
MIX = {"mixup": _mixup, "cutmix": _cutmix}
"""The mix operations: (images, images of others, share, generator) -> (images, share that is left)."""
