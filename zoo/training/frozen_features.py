"""What the frozen part of a model makes of the images: computed once, and read back where it was computed before."""

import json
import math
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from numpy.lib.format import open_memmap

from zoo.config.recipe import Model
from zoo.data.loader import FeatureLoader, ImageLoader, in_order
from zoo.distributed.processes import Processes
from zoo.errors import RunError
from zoo.evaluation.inference import each_once, predict_batches
from zoo.models.classifier import BackboneHeadSplit
from zoo.models.frozen_split import FrozenPrefix
from zoo.models.mode import evaluating
from zoo.plugins import find_backbone
from zoo.reporting import Reporter
from zoo.storage import feature_cache

FrozenSplit = BackboneHeadSplit | FrozenPrefix
"""A model in two parts: `features(images)`, frozen, and `top`, which reads them."""
PROBES = 8
"""Images whose features are computed again before an entry is used."""
TOLERANCE = {"fp32": 1e-3, "bf16": 0.05, "fp16": 0.01}
"""Part of the largest feature by which they may differ: arithmetic depends on the size of the batch."""


class Features:
    """Computes, keeps and finds the features of one cut of a model."""

    def __init__(
        self,
        split: FrozenSplit,
        spec: Model,
        batch_size: int,
        processes: Processes,
        reporter: Reporter,
        check_interrupt: Callable[[], None],
    ) -> None:
        """check_interrupt: called between batches; raises where a stop was asked for."""
        self.split, self.spec, self.batch_size, self.processes, self.reporter = (
            split,
            spec,
            batch_size,
            processes,
            reporter,
        )
        self.check_interrupt = check_interrupt

    def loader(self, images: ImageLoader, epochs: range) -> FeatureLoader:
        """The same images as features. epochs: those whose augmentation is cached; later ones begin anew."""
        facts = self._facts(images)
        views = [self._view({**facts, "augment": _augmentation(images, epoch)}, images, epoch) for epoch in epochs]
        return FeatureLoader(views, images.targets, images.device, images.shard, epochs.start, images.weights)

    def _view(self, facts: dict[str, Any], images: ImageLoader, epoch: int) -> torch.Tensor:
        key = xxhash.xxh3_128_hexdigest(json.dumps(facts, sort_keys=True).encode())
        with evaluating(self.split.model):
            found = self._found(key, images, epoch)
            return self._computed(key, facts, images, epoch) if found is None else found

    def _found(self, key: str, images: ImageLoader, epoch: int) -> torch.Tensor | None:
        """The features kept under this key, on every process or on none; a few are held against the model first."""
        features = self._opened(key)
        if features is None:
            return None
        probes = np.unique(np.linspace(0, len(images.targets) - 1, PROBES).astype(int))
        for indices, part in predict_batches(self.split.features, images, self.processes, [probes], epoch):
            if not self._agrees(features, len(images.targets), indices, part):
                self.reporter.note(
                    "cached features are not what the model gives now (was its code changed?); made anew"
                )
                if self.processes.is_main:
                    feature_cache.remove(key)
                return None
        return features

    def _agrees(self, features: torch.Tensor, count: int, indices: torch.Tensor, part: torch.Tensor) -> bool:
        """Whether kept features of `count` images can be those of which a few were computed again."""
        if features.dtype != part.dtype or features.shape != (count, *part.shape[1:]):
            return False
        limit = TOLERANCE[self.processes.precision] * float(features[indices].abs().max())
        return float((features[indices] - part).abs().max()) <= limit  # not so for NaN

    def _computed(self, key: str, facts: dict[str, Any], images: ImageLoader, epoch: int) -> torch.Tensor:
        """Run the frozen part over all images, into the cache where it has room, else into memory."""
        count = len(images.targets)
        order = in_order(np.arange(count), self.batch_size)
        outputs = predict_batches(self.split.features, images, self.processes, order, epoch)
        first = next(outputs)
        shape = (count, *first[1].shape[1:])
        self.reporter.start("features", count)
        try:
            with ExitStack() as held:
                target = _room(key, facts, shape, held) if self.processes.is_main else None
                if not (kept := self.processes.broadcast(target is not None)):
                    target = torch.empty(shape)
                for indices, part in each_once(chain([first], outputs), count, self.reporter.advance):
                    if target is not None:
                        target[indices] = part
                    self.check_interrupt()
        finally:
            self.reporter.finish()
        return self._shared(key, target) if kept else target

    def _shared(self, key: str, features: torch.Tensor | None) -> torch.Tensor:
        """What the main process just kept, on every process. Raises RunError."""
        if self.processes.size > 1:
            features = self._opened(key)
        if features is None:
            raise RunError(
                "a process cannot read the features that another kept. Put ZOO_CACHE where all can, or pass "
                "train.cache_features=false"
            )
        return features

    def _opened(self, key: str) -> torch.Tensor | None:
        """The features kept under a key, on every process or, where one cannot read them, on none."""
        path = self.processes.broadcast(str(feature_cache.find(key) or "") if self.processes.is_main else "")
        features = _mapped(Path(path)) if path else None
        missing, _ = self.processes.all_reduce_max(float(features is None), 0.0)
        return None if missing else features

    def _facts(self, images: ImageLoader) -> dict[str, Any]:
        """Everything the features depend on but the augmentation, and what they are called in a listing."""
        plugin = find_backbone(self.spec.backbone)
        return {
            "backbone": self.spec.backbone,
            "images": len(images.targets),
            "read": self.split.last,
            "model": self.spec.model_dump(include={"options", "in_chans", "top", "insert", "cut", "concat", "adapter"}),
            "plugin": str(plugin or ""),
            "weights": _weights_digest(self.split),
            "pixels": images.pixels.digest,
            "size": images.size,
            "normalise": repr(images.normalise),
            "precision": self.processes.precision,
            "device": self.processes.device.type,
            "versions": {name: version(name) for name in ("torch", "timm", "pillow", "timm-zoo")},
        }


def _augmentation(images: ImageLoader, epoch: int) -> dict[str, Any] | None:
    return None if images.how is None else {**images.how.image_settings(), "seed": images.seed, "epoch": epoch}


def _mapped(path: Path) -> torch.Tensor | None:
    """Mapped into memory page by page, private to this process; None where it went meanwhile."""
    try:
        return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))
    except (OSError, ValueError):
        return None


def _room(key: str, facts: dict[str, Any], shape: tuple[int, ...], held: ExitStack) -> torch.Tensor | None:
    """A place in the cache for features of this shape, None where it has none; the entry is whole when `held` closes."""
    size = 4 * math.prod(shape)
    if not feature_cache.fits(size):
        return None
    with suppress(OSError), ExitStack() as trying:
        path = trying.enter_context(feature_cache.adding(key, size, facts))
        target = open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        with path.open("r+b") as file:  # a hole that the disk cannot fill would kill the process later
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        held.push(trying.pop_all())
        return torch.from_numpy(target)
    return None


def _weights_digest(split: FrozenSplit) -> str:
    digest = xxhash.xxh3_128(repr(split.model).encode())
    for tensor in split.below:
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
