"""Decoded images, in memory or streamed by workers: equal batches, equal complaints."""

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.data.dataset import Split, load_data
from zoo.data.pixels import Encoded, MemoryPixels, StreamedPixels, View, load_into_memory, unreadable
from zoo.errors import DataError
from zoo.recipe import Data

Tree = Callable[..., Path]
ORDER = [np.array([3, 0, 3]), np.array([1]), np.array([2, 4, 0, 1, 3])]


@pytest.fixture
def split(tree: Tree) -> Split:
    return load_data(Data(source=str(tree({"cat": 6, "dog": 6}))), 0).splits["train"]


@pytest.mark.parametrize("view", [View(16), View(8, 0.875, 1)])
def test_memory_and_workers_give_equal_batches(view: View, split: Split) -> None:
    images, faults = load_into_memory(split.encoded, view, lambda done: None)
    assert (images.dtype, tuple(images.shape), faults) == (torch.uint8, (8, view.channels, view.size, view.size), {})
    expected = list(MemoryPixels(images).batches(ORDER))
    assert [batch.tolist() for batch in expected] == [images[torch.from_numpy(at)].tolist() for at in ORDER]
    for workers in (0, 2):
        streamed = list(StreamedPixels(split.encoded, view, workers).batches(ORDER))
        assert [batch.tolist() for batch in streamed] == [batch.tolist() for batch in expected]


def test_a_split_can_be_sent_to_a_worker(split: Split) -> None:
    """Where processes start afresh (macOS, Windows, Python 3.14) the data set travels by pickle."""
    copy = pickle.loads(pickle.dumps(split.encoded))
    assert copy.read([2, 0]) == split.encoded.read([2, 0])
    assert copy.name(1) == split.encoded.name(1)


def test_progress_is_told_in_images_and_threads_fill_the_right_places() -> None:
    pictures = [Image.new("L", (8, 8), i % 251) for i in range(600)]
    encoded = Encoded(600, lambda indices: [pictures[i] for i in indices], str)
    told: list[int] = []
    before = list(warnings.filters)
    images, _ = load_into_memory(encoded, View(8, 1.0, 1), told.append)
    assert told == [256, 256, 88]
    assert images[:, 0, 7, 7].tolist() == [i % 251 for i in range(600)]
    assert warnings.filters == before


def test_unreadable_images_are_named_and_left_black(split: Split) -> None:
    broken = [Path(split.encoded.name(i)) for i in (1, 6)]
    broken[0].write_bytes(b"")
    broken[1].unlink()
    images, faults = load_into_memory(split.encoded, View(8), lambda done: None)
    assert faults == {1: f"{broken[0]}: the file is empty", 6: f"{broken[1]}: the file is missing"}
    assert [bool(image.any()) for image in images] == [i not in faults for i in range(8)]
    for workers in (0, 2):
        batches = StreamedPixels(split.encoded, View(8), workers).batches([np.array([0, 2]), np.array([0, 6, 1])])
        assert next(batches).shape == (2, 3, 8, 8)
        with pytest.raises(DataError) as problem:
            next(batches)
        assert str(problem.value) == (
            f"2 of 8 images cannot be read: {broken[1]}: the file is missing; {broken[0]}: the file is empty. "
            "Mend or remove them, or pass data.corrupt=skip for training images"
        )


def test_many_unreadable_images_fit_on_one_line() -> None:
    assert unreadable(list("abcde"), 9) == (
        "5 of 9 images cannot be read: a; b; c; and 2 more. "
        "Mend or remove them, or pass data.corrupt=skip for training images"
    )
