import numpy as np
import pytest
from PIL import Image

from zoo.publishing.plots import draw_confusion, draw_curves

ODD = ["cat", "$x$ & <b>", "a" * 60, "日本", "line\nbreak"]


def event(epoch: int, phase: int = 1) -> dict:
    return {
        "event": "epoch",
        "epoch": epoch,
        "phase": phase,
        "train_loss": 1 / epoch,
        "validation": {"loss": 1.0, "accuracy": 0.5},
    }


def dark(path) -> float:
    """Share of dark blue pixels."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return float(((pixels[..., 2] > 90) & (pixels[..., 0] < 40)).mean())


@pytest.mark.parametrize("classes", [2, 10, 31, 1000])
def test_a_good_model_is_a_dark_diagonal(tmp_path, classes):
    names = [f"class {k}" for k in range(classes)]
    draw_confusion(tmp_path / "good.png", np.eye(classes, dtype=int) * 5, names)
    draw_confusion(tmp_path / "bad.png", np.ones((classes, classes), int), names)
    with Image.open(tmp_path / "good.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 400 and max(picture.size) < 1800
    if classes < 1000:
        assert dark(tmp_path / "good.png") > dark(tmp_path / "bad.png") + 0.005


def test_odd_names_and_a_class_without_images(tmp_path):
    matrix = np.eye(5, dtype=int)
    matrix[2] = 0
    draw_confusion(tmp_path / "a.png", matrix.tolist(), ODD)
    with Image.open(tmp_path / "a.png") as picture:
        assert min(picture.size) > 400


@pytest.mark.parametrize("events", [[event(1)], [event(1), event(2), event(3, phase=2)], [{"event": "test"}, event(1)]])
def test_curves(tmp_path, events):
    draw_curves(tmp_path / "a.png", events, "accuracy")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (990, 396)


def test_the_same_picture_is_the_same_file(tmp_path):
    for name in ("a", "b"):
        draw_confusion(tmp_path / f"{name}.png", np.eye(3, dtype=int), ODD[:3])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
