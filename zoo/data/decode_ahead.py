"""Pictures decoded by threads while the model works on those before them."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from zoo.data.decoding import UnreadableImage
from zoo.data.image_store import EvalTransform, cores

AHEAD = 2
"""Batches that are decoded before they are asked for."""


def decode_ahead(
    transform: EvalTransform, pictures: Sequence[Any], batch_size: int
) -> Iterator[list[np.ndarray | UnreadableImage]]:
    """Batches of pictures, in order: uint8 (C, size, size), or what is wrong with an unreadable one.

    pictures: paths, bytes or PIL images. They are decoded by one thread per core, which Pillow lets work side by side.
    """
    pool, waiting = ThreadPoolExecutor(cores()), deque[list[Future]]()
    try:
        for start in range(0, len(pictures), batch_size):
            waiting.append([pool.submit(_decode, transform, p) for p in pictures[start : start + batch_size]])
            if len(waiting) > AHEAD:
                yield [future.result() for future in waiting.popleft()]
        while waiting:
            yield [future.result() for future in waiting.popleft()]
    finally:
        pool.shutdown(cancel_futures=True)


def _decode(transform: EvalTransform, picture: Any) -> np.ndarray | UnreadableImage:
    try:
        return transform(picture)
    except UnreadableImage as problem:
        return problem
