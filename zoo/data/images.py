"""One encoded image -> uint8 pixels, by one rule for training, evaluation and prediction.

Rotation by EXIF is applied; palette, CMYK and 16-bit become RGB; transparency is laid on white.
"""

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from zoo.errors import DataError

MAX_PIXELS = 100_000_000
"""Larger images are refused from their header, before any pixel is decoded."""


STRIP = 16
"""Long side over short side above which only the middle is looked at, lest resizing need gigabytes."""

# Pillow warns of odd files that it reads all the same. A filter per call would not be safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


class UnreadableImage(DataError):
    """One image cannot be decoded; the message says why in a few words."""


def decode(encoded: Any) -> Image.Image:
    """A PIL image in mode L or RGB from bytes, a path, a `datasets` record or a PIL image. Raises UnreadableImage."""
    try:
        if isinstance(encoded, Image.Image):
            return _upright(encoded)
        with Image.open(_file(encoded)) as image:
            return _upright(image)
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


def _upright(image: Image.Image) -> Image.Image:
    if image.width * image.height > MAX_PIXELS:
        millions = image.width * image.height / 1e6
        raise UnreadableImage(f"{millions:.0f} megapixels, the limit is {MAX_PIXELS / 1e6:.0f}")
    return _plain(ImageOps.exif_transpose(image))


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


def square(image: Image.Image, size: int, crop_pct: float = 1.0) -> Image.Image:
    """timm's evaluation view: the short side resized (bicubic) to `size / crop_pct`, then the centre cut out."""
    if max(image.size) > STRIP * min(image.size):
        longest = STRIP * min(image.size)
        image = ImageOps.fit(image, (min(image.width, longest), min(image.height, longest)))
    short = int(size / crop_pct)
    width, height = (short * side // min(image.size) for side in image.size)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - size) / 2.0), round((height - size) / 2.0)
    return image if image.size == (size, size) else image.crop((left, top, left + size, top + size))


def to_array(image: Image.Image, channels: int) -> np.ndarray:
    """uint8 (C, H, W) with 1 or 3 channels."""
    array = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return array[None] if channels == 1 else array.transpose(2, 0, 1)
