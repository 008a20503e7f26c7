"""What the pictures of a data set are like, from a sample: sizes, kinds, what is wrong with some, how fast they decode."""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zoo.data.dataset import ImageData, Split
from zoo.data.decoding import STRIP, Header, UnreadableImage, header
from zoo.data.image_store import EvalTransform, cores
from zoo.tasks.task import Task

SAMPLE = 2000
"""At most so many pictures are looked at."""
TIMED = 256
"""Pictures that decoding is timed with, and for how long."""
TIMED_S = 1.0


@dataclass(frozen=True)
class ImageInfo:
    """One picture: its split, number and classes, what its file says, and what is wrong. header and digest are None if it is unreadable."""

    split: str
    index: int
    labels: tuple[int, ...]
    name: str
    header: Header | None = None
    digest: bytes | None = None
    fault: str = ""
    oddity: str = ""


def look_at(data: ImageData, view: EvalTransform, tick: Callable[[int], None]) -> list[ImageInfo]:
    """At most SAMPLE pictures of all splits, evenly spread, each decoded. tick: called with the number just done."""
    total = sum(map(len, data.splits.values()))
    found: list[ImageInfo] = []
    with ThreadPoolExecutor(cores()) as pool:
        for name, split in data.splits.items():
            count = max(1, min(len(split), len(split) * SAMPLE // total))
            chosen = np.unique(np.linspace(0, len(split) - 1, count).astype(int))
            for look in pool.map(
                lambda i, name=name, split=split: _look(data.task, name, split, i, view), map(int, chosen)
            ):
                found.append(look)
                tick(1)
    return found


def _look(task: Task, name: str, split: Split, index: int, view: EvalTransform) -> ImageInfo:
    about = (name, index, task.labels(split.targets[index]), split.encoded.name(index))
    record = split.encoded.read([index])[0]
    try:
        says, pixels = header(record), view(record)
    except UnreadableImage as problem:
        return ImageInfo(*about, fault=str(problem))
    stored = record["bytes"] if record["bytes"] is not None else Path(record["path"]).read_bytes()
    return ImageInfo(*about, says, hashlib.blake2b(stored).digest(), oddity=_oddity(says, pixels, record))


def _oddity(says: Header, pixels: np.ndarray, record: dict[str, Any]) -> str:
    """What is strange about a picture that can be read."""
    named = Image.registered_extensions().get(os.path.splitext(record["path"] or "")[1].lower())
    if says.frames > 1 and says.format != "MPO":
        return f"{says.frames} pictures in one file, of which the first is taken"
    if max(says.size) > STRIP * min(says.size):
        return f"{says.size[0]} x {says.size[1]} px, of which only the middle is taken"
    if (pixels == pixels[:, :1, :1]).all():
        return "one colour all over"
    if named and named != says.format and {named, says.format} != {"JPEG", "MPO"}:
        return f"named as {named}, but {says.format} inside"
    return ""


def duplicates(looks: Sequence[ImageInfo], classes: Sequence[str]) -> dict[str, str]:
    """Pictures that are, byte for byte, also in another split or class: name -> where."""
    first: dict[bytes, ImageInfo] = {}
    found = {}
    for look in looks:
        if look.digest is None:
            continue
        other = first.setdefault(look.digest, look)
        if (other.split, other.labels) != (look.split, look.labels):
            shown = " + ".join(classes[k] for k in other.labels) or "no label"
            found[look.name] = f"the same as {other.name} ({other.split}, {shown})"
    return found


def kinds(looks: Sequence[ImageInfo]) -> dict[str, int]:
    """How many of each format and mode, the most frequent first: {"JPEG RGB": 1900}."""
    return dict(Counter(f"{x.header.format} {x.header.mode}" for x in looks if x.header).most_common())


def sizes(looks: Sequence[ImageInfo]) -> dict[str, list[int]]:
    """Width and height in pixels: the medians, and those of the smallest and the largest picture; empty without any."""
    found = sorted((x.header.size for x in looks if x.header), key=lambda size: (size[0] * size[1], size))
    if not found:
        return {}
    median = [int(side) for side in np.median(found, axis=0)]
    return {"median": median, "smallest": list(found[0]), "largest": list(found[-1])}


def speed(split: Split, looks: Sequence[ImageInfo], view: EvalTransform, threads: int) -> float:
    """Images a second that so many threads decode, of those `looks` of the split that can be read; 0 without any."""
    readable = [look.index for look in looks if look.header]
    records = split.encoded.read(readable[:: max(1, len(readable) // TIMED)])
    began = time.perf_counter()

    def work(start: int) -> int:
        done = 0
        while records and time.perf_counter() - began < TIMED_S:
            view(records[(start + done) % len(records)])
            done += 1
        return done

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(work, range(threads))) / (time.perf_counter() - began)
