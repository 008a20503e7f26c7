"""Every kind of file that a folder of images can hold: what it becomes, or what is said of it."""

import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image, ImageDraw, ImageOps

from zoo.data.decoding import UnreadableImage, decode, short_side, square, to_array
from zoo.data.loader import Normalise

GREY16 = Image.fromarray(np.array([[0, 2570, 65535]], dtype=np.uint16))
CMYK = Image.new("CMYK", (2, 2), (0, 255, 255, 0))
HALF_RED = Image.new("RGBA", (2, 2), (255, 0, 0, 128))
PALETTE = Image.new("P", (2, 1))
PALETTE.putpalette([10, 20, 30, 40, 50, 60])
PALETTE.putdata([0, 1])
TAGGED = Image.new("RGB", (2, 3), (1, 2, 3))
TURNED = TAGGED.getexif()
TURNED[274] = 6

KINDS = {
    "rgb.png": (Image.new("RGB", (2, 2), (1, 2, 3)), {}, [[1, 2, 3]]),
    "grey.png": (Image.new("L", (2, 2), 7), {}, [7]),
    "single-pixel.png": (Image.new("RGB", (1, 1), (9, 8, 7)), {}, [[9, 8, 7]]),
    "cmyk.jpg": (CMYK, {"quality": 100}, [[255, 0, 0]]),
    "16-bit.png": (GREY16, {}, [0, 10, 255]),
    "16-bit.tif": (GREY16, {}, [0, 10, 255]),
    "32-bit.tif": (Image.new("I", (1, 1), 257 * 20), {}, [20]),
    "palette.png": (PALETTE, {}, [[10, 20, 30], [40, 50, 60]]),
    "palette-clear.png": (PALETTE, {"transparency": 0}, [[255, 255, 255], [40, 50, 60]]),
    "palette-half.png": (PALETTE, {"transparency": bytes([255, 51])}, [[10, 20, 30], [212, 214, 216]]),
    "palette.gif": (PALETTE, {}, [[10, 20, 30], [40, 50, 60]]),
    "grey-alpha.png": (Image.new("LA", (2, 2), (100, 51)), {}, [224]),
    "grey-key.png": (Image.new("L", (2, 2), 7), {"transparency": 7}, [255]),
    "rgb-key.png": (Image.new("RGB", (2, 2), (1, 2, 3)), {"transparency": (1, 2, 3)}, [[255, 255, 255]]),
    "rgba.png": (HALF_RED, {}, [[255, 127, 127]]),
    "rgba.webp": (HALF_RED, {"lossless": True}, [[255, 127, 127]]),
    "bits.png": (Image.new("1", (3, 3), 1), {}, [255]),
    "float-unit.tif": (Image.new("F", (2, 2), 0.5), {}, [128]),
    "float-byte.tif": (Image.new("F", (2, 2), 200.0), {}, [200]),
    "float-wide.tif": (Image.new("F", (2, 2), 257.0 * 30), {}, [30]),
    "float-nan.tif": (Image.new("F", (2, 2), float("nan")), {}, [0]),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_image_becomes_grey_or_rgb(name: str, tmp_path: Path) -> None:
    image, options, expected = KINDS[name]
    image.save(tmp_path / name, **options)
    for encoded in (tmp_path / name, str(tmp_path / name), (tmp_path / name).read_bytes()):
        decoded = decode(encoded).pixels
        pixels = np.asarray(decoded)
        assert decoded.mode == ("L" if pixels.ndim == 2 else "RGB")
        np.testing.assert_array_equal(pixels, np.broadcast_to(expected, pixels.shape))


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_exif_rotation_is_applied_once(suffix: str, tmp_path: Path) -> None:
    TAGGED.save(tmp_path / f"turned.{suffix}", exif=TURNED)
    assert decode(tmp_path / f"turned.{suffix}").pixels.size == (3, 2)


def test_decode_takes_records_and_leaves_pil_images_as_they_are(tmp_path: Path) -> None:
    HALF_RED.save(tmp_path / "a.png")
    raw = (tmp_path / "a.png").read_bytes()
    records = [{"bytes": raw, "path": "elsewhere.png"}, {"bytes": None, "path": str(tmp_path / "a.png")}, HALF_RED]
    assert [decode(r).pixels.getpixel((0, 0)) for r in records] == [(255, 127, 127)] * 3
    assert HALF_RED.mode == "RGBA"


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # pytest puts its filter before ours
def test_unreadable_images_are_explained(tmp_path: Path, picture: Callable[..., Image.Image]) -> None:
    def file(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    picture(0, 64, 64).save(tmp_path / "whole.jpg")
    picture(0, 64, 64).save(tmp_path / "whole.png")
    jpeg, png = ((tmp_path / f"whole.{s}").read_bytes() for s in ("jpg", "png"))
    Image.new("1", (20000, 10000)).save(tmp_path / "200.png")
    Image.new("1", (11000, 10000)).save(tmp_path / "110.png")
    said = [
        ("image file is truncated (N bytes not processed)", file("cut.jpg", jpeg[: len(jpeg) // 2])),
        ("image file is truncated", file("cut.png", png[: len(png) // 2])),
        ("the file is empty", file("empty.jpg", b"")),
        ("not an image that can be read", file("text.jpg", b"just words")),
        ("the file is missing", tmp_path / "nowhere.jpg"),
        ("Is a directory", tmp_path),
        ("the image is missing", {"bytes": None, "path": None}),
        ("the image is missing", None),
        ("the file is empty", {"bytes": b"", "path": "elsewhere.png"}),
        ("the file is empty", b""),
        ("over 179 megapixels, the limit is 100", tmp_path / "200.png"),
        ("110 megapixels, the limit is 100", tmp_path / "110.png"),
    ]
    for message, encoded in said:
        with pytest.raises(UnreadableImage) as problem:
            decode(encoded)
        assert (re.sub(r"\d+ bytes", "N bytes", str(problem.value)), encoded) == (message, encoded)


def test_what_pillow_warns_of_is_read_in_silence(tmp_path: Path) -> None:
    Image.new("1", (9600, 9600)).save(tmp_path / "92-megapixels.png")
    code = f"from zoo.data.decoding import decode; print(decode('{tmp_path}/92-megapixels.png').size)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("(9600, 9600)\n", "")


@pytest.mark.parametrize("crop_pct", [1.0, 0.95, 0.875, 0.5])
@pytest.mark.parametrize("size", [16, 33, 64])
@pytest.mark.parametrize("shape", [(9, 8), (64, 64), (31, 77), (200, 13), (101, 100), (5, 63)])
def test_square_is_timms_evaluation_view(
    shape: tuple[int, int], size: int, crop_pct: float, picture: Callable[..., Image.Image]
) -> None:
    image, mean, std = picture(1, *shape), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    evaluation = timm.data.create_transform(
        (3, size, size), interpolation="bicubic", crop_pct=crop_pct, is_training=False, mean=mean, std=std
    )
    pixels = torch.from_numpy(to_array(square(decode(image), size, crop_pct), 3).copy())
    ours = Normalise(mean, std, channels_last=False)(pixels[None])[0]
    torch.testing.assert_close(ours, evaluation(image), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2_000_000), (2_000_000, 1), (1, 17)])
def test_square_of_a_dot_and_of_a_long_strip(shape: tuple[int, int]) -> None:
    image = square(decode(Image.new("L", shape, 9)), 32)
    assert image.size == (32, 32)
    assert image.getextrema() == (9, 9)


def test_to_array_repeats_grey_and_weighs_colours() -> None:
    assert to_array(Image.new("L", (3, 2), 7), 3).tolist() == np.full((3, 2, 3), 7).tolist()
    assert to_array(Image.new("RGB", (3, 2), (255, 0, 0)), 1).tolist() == np.full((1, 2, 3), 76).tolist()


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """2,001 x 1,499 pixels with structure at every scale, edges and thin lines, as a camera sees them."""
    rng, (width, height) = np.random.default_rng(0), (2001, 1499)
    total = np.zeros((height, width, 3), dtype=np.float32)
    for cells in (4, 16, 64, 256, 1024):
        noise = rng.normal(0, 220 / cells**0.5, (cells * 3 // 4, cells, 3)) + 128
        grown = Image.fromarray(noise.clip(0, 255).astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(grown, dtype=np.float32) - 128
    image = Image.fromarray((total + 128).clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for i in range(60):
        x, y, side = (int(v) for v in rng.integers((0, 0, 8), (width, height, 300)))
        draw.rectangle((x, y, x + side, y + side // 3), fill=tuple(map(int, rng.integers(0, 256, 3))))
        draw.line((x, y, x - side, y + side), fill=(255, 255, 255) if i % 2 else (0, 0, 0), width=3)
    return image


def file_of(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def views(encoded: bytes, size: int, crop_pct: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """The square as every part of the zoo sees it, and from all pixels of the file; int (size, size[, 3])."""
    reduced, whole = decode(encoded, short_side(size, crop_pct)), decode(encoded)
    return tuple(np.asarray(square(picture, size, crop_pct)).astype(int) for picture in (reduced, whole))


@pytest.mark.parametrize("crop_pct", [1.0, 0.875])
@pytest.mark.parametrize(("size", "width"), [(32, 251), (80, 251), (150, 501), (224, 1001)])
def test_a_large_jpeg_is_decoded_at_a_part_of_its_size_with_nearly_the_same_result(
    size: int, width: int, crop_pct: float, photo: Image.Image
) -> None:
    encoded = file_of(photo, quality=90)
    picture = decode(encoded, size)
    assert (picture.pixels.width, picture.size) == (width, (2001, 1499))
    assert min(picture.pixels.size) >= 2 * size
    ours, whole = views(encoded, size, crop_pct)
    assert 0 < np.abs(ours - whole).mean() < 1
    assert np.abs(ours - whole).max() < 32


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_jpeg_is_upright_and_not_shifted(orientation: int, photo: Image.Image) -> None:
    tags = photo.getexif()
    tags[274] = orientation
    encoded = file_of(photo, quality=90, exif=tags)
    picture, turned = decode(encoded, 64), ImageOps.exif_transpose(Image.open(io.BytesIO(encoded)))
    assert picture.size == turned.size == decode(encoded).size
    assert picture.pixels.width < turned.width
    ours, whole = views(encoded, 64)
    assert np.abs(ours - whole).mean() < 0.5


@pytest.mark.parametrize("mode", ["L", "CMYK"])
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 0}], ids=["plain", "progressive", "444"]
)
def test_reduced_jpegs_of_other_kinds(mode: str, options: dict[str, Any], photo: Image.Image) -> None:
    encoded = file_of(photo.convert(mode), quality=90, **({} if mode == "L" else options))
    picture = decode(encoded, 64)
    assert (picture.pixels.mode, picture.pixels.width) == ("L" if mode == "L" else "RGB", 251)
    ours, whole = views(encoded, 64)
    assert np.abs(ours - whole).mean() < 0.5


def test_a_phones_picture_with_a_second_one_behind_it_is_reduced_too(photo: Image.Image) -> None:
    encoded = file_of(photo, "MPO", save_all=True, append_images=[photo.resize((100, 75))])
    assert decode(encoded, 64).pixels.width == 251
    ours, whole = views(encoded, 64)
    assert np.abs(ours - whole).mean() < 0.5


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "BMP"])
def test_other_formats_are_not_reduced(kind: str, photo: Image.Image) -> None:
    ours, whole = views(file_of(photo.crop((0, 0, 600, 500)), kind), 32)
    assert (ours == whole).all()


@pytest.mark.parametrize(("width", "height"), [(255, 300), (300, 255), (64, 64), (20, 15), (4200, 260)])
def test_jpegs_that_are_not_four_times_as_large_are_not_reduced(width: int, height: int, photo: Image.Image) -> None:
    """Nor are long strips, of which only the middle is looked at."""
    ours, whole = views(file_of(photo.resize((width, height))), 64)
    assert (ours == whole).all()


def test_an_opened_picture_is_neither_reduced_nor_changed(photo: Image.Image) -> None:
    opened = Image.open(io.BytesIO(file_of(photo)))
    assert decode(opened, 32).pixels.size == opened.size == photo.size


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["plain", "progressive"])
def test_a_cut_jpeg_is_reported_at_every_size(kept: float, options: dict[str, Any], photo: Image.Image) -> None:
    encoded = file_of(photo, **options)
    for side in (16, 64, 224, None):
        with pytest.raises(UnreadableImage, match=r"truncated|not an image"):
            decode(encoded[: int(kept * len(encoded))], side)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # pytest puts its filter before ours
def test_the_limit_on_pixels_is_of_the_file_not_of_what_is_decoded() -> None:
    with pytest.raises(UnreadableImage, match="110 megapixels, the limit is 100"):
        decode(file_of(Image.new("L", (11000, 10000))), 64)
