"""One encoded image -> uint8 pixels, by one rule for training, evaluation and prediction.

Rotation by EXIF is applied; palette, CMYK and 16-bit become RGB; transparency is laid on white. A JPEG of which only a
small square is needed is decoded at a half, a quarter or an eighth of its size.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from zoo.errors import DataError

MAX_PIXELS = 100_000_000
"""Larger images are refused from their header, before any pixel is decoded."""

SPARE = 2
"""A JPEG is decoded to no less than so many times the side it is resized to, so that resizing still sees enough."""

STRIP = 16
"""Long side over short side above which only the middle is looked at, lest resizing need gigabytes."""

# Pillow warns of odd files that it reads all the same. A filter per call would not be safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


class UnreadableImage(DataError):
    """One image cannot be decoded; the message says why in a few words."""


@dataclass(frozen=True)
class Picture:
    """A decoded image, upright: `pixels` in mode L or RGB, and (width, height) `size` of the file's own pixels.

    box: left, top, right and bottom of the picture within `pixels`, whose last row and column may lie partly outside.
    """

    pixels: Image.Image
    size: tuple[int, int]
    box: tuple[float, float, float, float]


def decode(encoded: Any, side: int | None = None) -> Picture:
    """The picture in bytes, a file, a `datasets` record or a PIL image, which stays as it is. Raises UnreadableImage.

    side: the short side that it will be resized to, for which a JPEG need not be decoded in full; None is in full.
    """
    with _explained():
        if isinstance(encoded, Image.Image):
            return _upright(encoded, None)
        with Image.open(_file(encoded)) as image:
            return _upright(image, SPARE * side if side else None)


@dataclass(frozen=True)
class Header:
    """What a file says of itself: `JPEG`, `RGB`, (width, height) in pixels, and how many pictures it holds."""

    format: str
    mode: str
    size: tuple[int, int]
    frames: int


def header(encoded: Any) -> Header:
    """Of bytes, a file or a `datasets` record; no pixel is decoded. Raises UnreadableImage."""
    with _explained(), Image.open(_file(encoded)) as image:
        return Header(image.format or "", image.mode, image.size, getattr(image, "n_frames", 1))


@contextmanager
def _explained() -> Iterator[None]:
    """Whatever Pillow and the file system raise, as UnreadableImage."""
    try:
        yield
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage("not an image that can be read") from None
    except Image.DecompressionBombError:
        millions = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        raise UnreadableImage(f"over {millions:.0f} megapixels, the limit is {MAX_PIXELS / 1e6:.0f}") from None
    except FileNotFoundError:
        raise UnreadableImage("the file is missing") from None
    except Exception as error:
        named = f"{type(error).__name__}: {error}"
        text = (error.strerror or str(error)) if isinstance(error, OSError) else named
        raise UnreadableImage((text or named).splitlines()[0]) from None


def _file(encoded: Any) -> str | Path | BytesIO:
    """What Pillow opens: the path, or the bytes where there are some."""
    if isinstance(encoded, dict):
        encoded = encoded.get("path") if encoded.get("bytes") is None else encoded["bytes"]
    if encoded is None:
        raise UnreadableImage("the image is missing")
    if (len(encoded) if isinstance(encoded, bytes) else Path(encoded).stat().st_size) == 0:
        raise UnreadableImage("the file is empty")
    return BytesIO(encoded) if isinstance(encoded, bytes) else encoded


def _upright(image: Image.Image, least: int | None) -> Picture:
    """least: pixels that the short side keeps where a JPEG can be reduced; None keeps all."""
    whole = image.size
    if whole[0] * whole[1] > MAX_PIXELS:
        millions = whole[0] * whole[1] / 1e6
        raise UnreadableImage(f"{millions:.0f} megapixels, the limit is {MAX_PIXELS / 1e6:.0f}")
    spare = least is not None and 2 * least <= min(whole) and max(whole) <= STRIP * min(whole)
    reduced = image.draft(None, (least, least)) if spare else None
    pixels = _plain(ImageOps.exif_transpose(image))
    if reduced is None:
        return Picture(pixels, pixels.size, (0, 0, *pixels.size))
    return _reduced(pixels, whole, reduced[1], image.getexif().get(ExifTags.Base.Orientation, 1))


def _reduced(pixels: Image.Image, whole: tuple[int, int], box: tuple[float, ...], orientation: int) -> Picture:
    """whole, box: size and place of the picture as the file has it, before it was turned upright."""
    (width, height), (across, down) = whole, box[2:]
    if orientation >= 5:
        width, height, across, down = height, width, down, across
    left = pixels.width - across if orientation in (2, 3, 6, 7) else 0
    top = pixels.height - down if orientation in (3, 4, 7, 8) else 0
    return Picture(pixels, (width, height), (left, top, left + across, top + down))


def _plain(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bit(image)
    plain = "L" if image.mode in ("1", "L", "LA") else "RGB"
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image if image.mode == plain else image.convert(plain)


def _eight_bit(image: Image.Image) -> Image.Image:
    """Integers run to 65535; floats to 1, 255 or 65535, whichever holds the largest."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    peak = values.max(initial=0)
    top = 65535 if image.mode != "F" or peak > 255 else 255 if peak > 1 else 1
    return Image.fromarray(np.clip(np.rint(values / top * 255), 0, 255).astype(np.uint8))


def square(picture: Picture, size: int, crop_pct: float = 1.0) -> Image.Image:
    """timm's evaluation view: the short side resized (bicubic) to `size / crop_pct`, then the centre cut out."""
    image, box, whole = picture.pixels, picture.box, picture.size
    if max(whole) > STRIP * min(whole):
        longest = STRIP * min(whole)
        image = ImageOps.fit(image, (min(image.width, longest), min(image.height, longest)))
        box, whole = (0, 0, *image.size), image.size
    short = short_side(size, crop_pct)
    width, height = (short * side // min(whole) for side in whole)
    if (width, height) != whole:
        image = image.resize((width, height), Image.Resampling.BICUBIC, box)
    left, top = round((width - size) / 2.0), round((height - size) / 2.0)
    return image if image.size == (size, size) else image.crop((left, top, left + size, top + size))


def short_side(size: int, crop_pct: float) -> int:
    """What the short side is resized to before a square of `size` is cut out."""
    return int(size / crop_pct)


def to_array(image: Image.Image, channels: int) -> np.ndarray:
    """uint8 (C, H, W) with 1 or 3 channels."""
    array = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return array[None] if channels == 1 else array.transpose(2, 0, 1)
