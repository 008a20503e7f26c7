"""What the frozen part of a model makes of the images: computed once, and read back where it was computed before."""

import json
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from numpy.lib.format import open_memmap

from zoo import cache
from zoo.data.loader import FeatureLoader, ImageLoader, in_order
from zoo.data.pixels import MemoryPixels, Pixels
from zoo.errors import RunError
from zoo.models.classifier import Halves
from zoo.models.mode import evaluating
from zoo.models.prefix import Prefix
from zoo.plugins import find_backbone
from zoo.recipe import Model
from zoo.reporting import Reporter
from zoo.training.team import Team

Cut = Halves | Prefix
"""A model in two parts: `features(images)`, frozen, and `top`, which reads them."""
CHUNK = 1024
"""Encoded images read at once to tell data sets apart."""
PROBES = 8
"""Images whose features are computed again before an entry is used."""
TOLERANCE = {"fp32": 1e-3, "bf16": 0.05, "fp16": 0.01}
"""Part of the largest feature by which they may differ: arithmetic depends on the size of the batch."""


class Features:
    """Computes, keeps and finds the features of one cut of a model."""

    def __init__(self, cut: Cut, spec: Model, batch_size: int, team: Team, reporter: Reporter) -> None:
        self.cut, self.spec, self.batch_size, self.team, self.reporter = cut, spec, batch_size, team, reporter

    def loader(self, images: ImageLoader, epochs: range) -> FeatureLoader:
        """The same images as features. epochs: those whose augmentation is cached; later ones begin anew."""
        views = [self._view(images, epoch) for epoch in epochs]
        return FeatureLoader(views, images.labels, images.device, images.shard, epochs.start)

    def _view(self, images: ImageLoader, epoch: int) -> torch.Tensor:
        facts = self._facts(images, epoch)
        key = xxhash.xxh3_128_hexdigest(json.dumps(facts, sort_keys=True).encode())
        with evaluating(self.cut.model):
            found = self._found(key, images, epoch)
            return self._computed(key, facts, images, epoch) if found is None else found

    def _found(self, key: str, images: ImageLoader, epoch: int) -> torch.Tensor | None:
        """The features kept under this key, on every process or on none; a few are held against the model first."""
        path = cache.find(key) if self.team.main else None
        path = self.team.share(str(path or ""))
        features = _opened(Path(path)) if path else None
        missing, _ = self.team.agree(float(features is None), 0.0)
        if missing:
            return None
        probes = np.unique(np.linspace(0, len(features) - 1, PROBES).astype(int))
        for indices, part in self.team.outputs(self.cut.features, images, [probes], epoch):
            stored = features[indices]
            limit = TOLERANCE[self.team.precision] * float(stored.abs().max())
            if stored.shape != part.shape or float((stored - part).abs().max()) > limit:
                self.reporter.note(
                    "cached features are not what the model gives now (was its code changed?); made anew"
                )
                if self.team.main:
                    cache.remove(key)
                return None
        return features

    def _computed(self, key: str, facts: dict[str, Any], images: ImageLoader, epoch: int) -> torch.Tensor:
        """Run the frozen part over all images, into the cache where it has room, else into memory."""
        count = len(images.labels)
        outputs = self.team.outputs(self.cut.features, images, in_order(np.arange(count), self.batch_size), epoch)
        first = next(outputs)
        shape = (count, *first[1].shape[1:])
        self.reporter.start("features", count)
        try:
            with ExitStack() as held:
                target = _room(key, facts, shape, held) if self.team.main else None
                if not (kept := self.team.share(target is not None)):
                    target = torch.empty(shape)
                for indices, part in _each_once(chain([first], outputs), count, self.reporter):
                    if target is not None:
                        target[indices] = part
        finally:
            self.reporter.finish()
        return self._shared(key, target) if kept else target

    def _shared(self, key: str, features: torch.Tensor | None) -> torch.Tensor:
        """What the main process just kept, on every process. Raises RunError."""
        path = self.team.share(str(cache.find(key) or "") if self.team.main and self.team.size > 1 else "")
        features = _opened(Path(path)) if features is None else features
        missing, _ = self.team.agree(float(features is None), 0.0)
        if missing or features is None:
            raise RunError(
                "a process cannot read the features that another kept. Put ZOO_CACHE where all can, or pass "
                "train.cache_features=false"
            )
        return features

    def _facts(self, images: ImageLoader, epoch: int) -> dict[str, Any]:
        """Everything the features depend on, and what they are called in a listing."""
        plugin = find_backbone(self.spec.backbone)
        return {
            "backbone": self.spec.backbone,
            "images": len(images.labels),
            "read": self.cut.last,
            "model": self.spec.model_dump(include={"options", "in_chans", "top", "insert", "cut", "beside", "adapter"}),
            "plugin": str(plugin or ""),
            "weights": _weights_digest(self.cut),
            "pixels": _pixels_digest(images.pixels),
            "size": images.size,
            "normalise": repr(images.normalise),
            "augment": None if images.how is None else {**images.how.model_dump(), "seed": images.seed, "epoch": epoch},
            "precision": self.team.precision,
            "device": self.team.device.type,
            "versions": {name: version(name) for name in ("torch", "timm", "pillow", "timm-zoo")},
        }


def _opened(path: Path) -> torch.Tensor | None:
    """Mapped into memory page by page, private to this process; None where it went meanwhile."""
    try:
        return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))
    except (OSError, ValueError):
        return None


def _room(key: str, facts: dict[str, Any], shape: tuple[int, ...], held: ExitStack) -> torch.Tensor | None:
    """A place in the cache for features of this shape, None where it has none; the entry is whole when `held` closes."""
    size = 4 * math.prod(shape)
    if not cache.fits(size):
        return None
    with suppress(OSError), ExitStack() as trying:
        path = trying.enter_context(cache.adding(key, size, facts))
        target = open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        with path.open("r+b") as file:  # a hole that the disk cannot fill would kill the process later
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        held.push(trying.pop_all())
        return torch.from_numpy(target)
    return None


def _each_once(parts: Iterable[tuple], count: int, reporter: Reporter) -> Iterator[tuple]:
    """The parts as they come. Raises RunError if an image is missing at the end."""
    seen = torch.zeros(count, dtype=torch.bool)
    for indices, part in parts:
        seen[indices] = True
        reporter.advance(len(indices.unique()))
        yield indices, part
    if not bool(seen.all()):
        raise RunError(f"{int((~seen).sum())} of {count} images have no features")


def _weights_digest(cut: Cut) -> str:
    digest = xxhash.xxh3_128(repr(cut.model).encode())
    for tensor in cut.below:
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _pixels_digest(pixels: Pixels) -> str:
    """Of the decoded images where they are in memory, else of the files as they are."""
    if isinstance(pixels, MemoryPixels):
        return xxhash.xxh3_128_hexdigest(pixels.images.numpy())
    digest, count = xxhash.xxh3_128(repr(pixels.view).encode()), pixels.encoded.count
    for start in range(0, count, CHUNK):
        for record in pixels.encoded.read(range(start, min(start + CHUNK, count))):
            digest.update(_stamp(record))
    return digest.hexdigest()


def _stamp(record: Any) -> bytes:
    if record is None:
        return b"\0"
    if record.get("bytes") is not None:
        return record["bytes"]
    path = Path(record["path"])
    about = path.stat() if path.is_file() else None
    return f"{path} {about and (about.st_size, about.st_mtime_ns)}".encode("utf-8", "surrogateescape")
