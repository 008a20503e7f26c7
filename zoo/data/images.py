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


class UnreadableImage(DataError):
    """One image cannot be decoded; the message says why in a few words."""


def decode(encoded: Any) -> Image.Image:
    """A PIL image in mode L or RGB from bytes, a path, a `datasets` record or a PIL image. Raises UnreadableImage."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = _open(encoded)
            if image.width * image.height > MAX_PIXELS:
                millions = image.width * image.height / 1e6
                raise UnreadableImage(f"{millions:.0f} megapixels, the limit is {MAX_PIXELS / 1e6:.0f}")
            image.load()
            return _plain(ImageOps.exif_transpose(image))
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage("not an image that can be read") from None
    except Image.DecompressionBombError:
        raise UnreadableImage(f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} megapixels") from None
    except FileNotFoundError:
        raise UnreadableImage("the file is missing") from None
    except Exception as error:
        raise UnreadableImage(f"{type(error).__name__}: {error}".splitlines()[0]) from None


def _open(encoded: Any) -> Image.Image:
    if isinstance(encoded, Image.Image):
        return encoded
    if isinstance(encoded, dict):
        encoded = encoded.get("bytes") or encoded.get("path")
    if encoded is None:
        raise UnreadableImage("the image is missing")
    if isinstance(encoded, str | Path) and Path(encoded).stat().st_size == 0:
        raise UnreadableImage("the file is empty")
    return Image.open(BytesIO(encoded) if isinstance(encoded, bytes) else encoded)


def _plain(image: Image.Image) -> Image.Image:
    if image.mode in ("RGB", "L"):
        return image
    if image.mode in ("1", "LA") or image.mode.startswith("I") or image.mode == "F":
        return _grey(image)
    if image.mode == "P" and "transparency" not in image.info:
        return image.convert("RGB")
    if image.mode in ("RGBA", "PA", "P", "RGBa", "La"):
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _grey(image: Image.Image) -> Image.Image:
    if image.mode == "LA":
        return Image.composite(image.getchannel("L"), Image.new("L", image.size, 255), image.getchannel("A"))
    if image.mode == "1":
        return image.convert("L")
    values = np.asarray(image, dtype=np.float64)
    top = 65535.0 if image.mode.startswith("I") or values.max(initial=0) > 255 else 255.0
    scale = 255.0 if image.mode == "F" and values.max(initial=0) <= 1 else 255.0 / top
    return Image.fromarray(np.clip(np.rint(values * scale), 0, 255).astype(np.uint8))


def square(image: Image.Image, size: int, crop_pct: float = 1.0) -> Image.Image:
    """timm's evaluation view: the short side resized (bicubic) to `size / crop_pct`, then the centre cut out."""
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
