"""Decoded images, in memory or streamed by workers: equal batches, equal complaints."""

import os
import pickle
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from zoo.config.recipe import Data
from zoo.data.dataset import Split, load_data
from zoo.data.image_store import (
    EncodedImages,
    EvalTransform,
    MemoryImageStore,
    StreamedImageStore,
    load_into_memory,
    unreadable,
)
from zoo.errors import DataError

Tree = Callable[..., Path]
ORDER = [np.array([3, 0, 3]), np.array([1]), np.array([2, 4, 0, 1, 3])]


@pytest.fixture
def split(tree: Tree) -> Split:
    return load_data(Data(source=str(tree({"cat": 6, "dog": 6}))), 0).splits["train"]


@pytest.mark.parametrize("view", [EvalTransform(16), EvalTransform(8, 0.875, 1)])
def test_memory_and_workers_give_equal_batches(view: EvalTransform, split: Split) -> None:
    images, faults = load_into_memory(split.encoded, view, lambda done: None)
    assert (images.dtype, tuple(images.shape), faults) == (torch.uint8, (8, view.channels, view.size, view.size), {})
    expected = list(MemoryImageStore(images).batches(ORDER))
    assert [batch.tolist() for batch in expected] == [images[torch.from_numpy(at)].tolist() for at in ORDER]
    for workers in (0, 2):
        streamed = list(StreamedImageStore(split.encoded, view, workers).batches(ORDER))
        assert [batch.tolist() for batch in streamed] == [batch.tolist() for batch in expected]


def test_a_split_can_be_sent_to_a_worker(split: Split) -> None:
    """Where processes start afresh (macOS, Windows, Python 3.14) the data set travels by pickle."""
    copy = pickle.loads(pickle.dumps(split.encoded))
    assert copy.read([2, 0]) == split.encoded.read([2, 0])
    assert copy.name(1) == split.encoded.name(1)


def test_progress_is_told_in_images_and_threads_fill_the_right_places() -> None:
    pictures = [Image.new("L", (8, 8), i % 251) for i in range(600)]
    encoded = EncodedImages(600, lambda indices: [pictures[i] for i in indices], str)
    told: list[int] = []
    before = list(warnings.filters)
    images, _ = load_into_memory(encoded, EvalTransform(8, 1.0, 1), told.append)
    assert told == [256, 256, 88]
    assert images[:, 0, 7, 7].tolist() == [i % 251 for i in range(600)]
    assert warnings.filters == before


def test_unreadable_images_are_named_and_left_black(split: Split) -> None:
    broken = [Path(split.encoded.name(i)) for i in (1, 6)]
    broken[0].write_bytes(b"")
    broken[1].unlink()
    images, faults = load_into_memory(split.encoded, EvalTransform(8), lambda done: None)
    assert faults == {1: f"{broken[0]}: the file is empty", 6: f"{broken[1]}: the file is missing"}
    assert [bool(image.any()) for image in images] == [i not in faults for i in range(8)]
    for workers in (0, 2):
        batches = StreamedImageStore(split.encoded, EvalTransform(8), workers).batches(
            [np.array([0, 2]), np.array([0, 6, 1])]
        )
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


COUNT = 60


def grey(indices: list[int]) -> list[Image.Image]:
    return [Image.new("L", (8, 8), i) for i in indices]


def streamed(workers: int) -> StreamedImageStore:
    """60 images of which image i is i all over."""
    return StreamedImageStore(EncodedImages(COUNT, grey, str), EvalTransform(8, 1.0, 1), workers)


def values(pixels: StreamedImageStore, order: list[np.ndarray]) -> list[list[int]]:
    return [batch[:, 0, 0, 0].tolist() for batch in pixels.batches(order)]


def children() -> set[int]:
    return {process.pid for process in psutil.Process().children()}


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_every_pass_gives_its_own_order_from_the_same_processes(workers: int) -> None:
    pixels, before = streamed(workers), children()
    started = set()
    for epoch in range(3):
        order = np.array_split(np.random.default_rng(epoch).permutation(COUNT), 7)
        assert values(pixels, order) == [indices.tolist() for indices in order]
        started |= children() - before
    assert len(started) == workers
    del pixels
    assert not children() & started


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pass_that_was_left_does_not_reach_into_the_next(workers: int) -> None:
    pixels, order = streamed(workers), np.array_split(np.arange(COUNT), 12)
    left = pixels.batches(order)
    assert next(left)[0, 0, 0, 0] == 0
    assert values(pixels, order[5:]) == [indices.tolist() for indices in order[5:]]
    with pytest.raises(RuntimeError, match="went on after another had begun"):
        next(left)
    assert values(pixels, order[9:]) == [indices.tolist() for indices in order[9:]]


def test_an_unreadable_image_ends_its_pass_only(split: Split) -> None:
    broken = Path(split.encoded.name(2))
    whole = broken.read_bytes()
    pixels, order = StreamedImageStore(split.encoded, EvalTransform(8), 2), [np.array([i]) for i in range(8)]
    broken.write_bytes(whole[:20])
    with pytest.raises(DataError, match="1 of 8 images cannot be read"):
        list(pixels.batches(order))
    broken.write_bytes(whole)
    assert len(list(pixels.batches(order))) == 8


STREAM = """
import signal, sys, time
import numpy as np, psutil
sys.path.insert(0, sys.argv[1])
from test_image_store import COUNT, streamed

signal.signal(signal.SIGTERM, lambda *_: print("asked", flush=True))
pixels = streamed(2)
batches = pixels.batches(np.array_split(np.arange(COUNT), 10))
next(batches)
print(*[p.pid for p in psutil.Process().children()], flush=True)
sys.stdin.readline()
print(sum(len(batch) for batch in batches), flush=True)
if "fail" in sys.argv:
    raise SystemExit("failed")
"""


def streaming(*arguments: str) -> tuple[subprocess.Popen, list[int]]:
    """A program of its own in the middle of a pass, and its worker processes."""
    program = subprocess.Popen(
        [sys.executable, "-c", STREAM, str(Path(__file__).parent), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    workers = [int(word) for word in program.stdout.readline().split()]
    assert len(workers) == 2
    return program, workers


def gone(workers: list[int]) -> bool:
    """Whether they end, given a little time."""
    deadline = time.monotonic() + 60
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in workers):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("arguments", [[], ["fail"]], ids=["end", "failure"])
def test_no_process_outlives_the_program(arguments: list[str]) -> None:
    program, workers = streaming(*arguments)
    said, complaint = program.communicate("go on\n", timeout=120)
    assert (said, complaint) == ("54\n", "failed\n" if arguments else "")
    assert gone(workers)


def test_no_process_outlives_a_program_that_is_killed() -> None:
    program, workers = streaming()
    program.kill()
    program.communicate(timeout=120)
    assert gone(workers)


def test_a_signal_to_the_group_leaves_the_workers_to_the_program() -> None:
    """So that a run asked to stop finishes its step and saves."""
    program, workers = streaming()
    os.killpg(program.pid, signal.SIGTERM)
    said, complaint = program.communicate("go on\n", timeout=120)
    assert (said, complaint, program.returncode) == ("asked\n54\n", "", 0)
    assert gone(workers)
