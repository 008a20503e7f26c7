"""Rows in which something is frozen: what its features cost when they are computed once."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ours import phases, timed
from peers import FrozenBackbone
from pictures import CLASSES, held_out, pictures
from row import Row
from setting import Setting

HEAD_EPOCHS = 5
"""Of `two-stage`, before the one epoch in which everything trains."""
GRADUAL_EPOCHS, EPOCHS_PER_GROUP = 6, 2
"""One more group trains after every two: what is frozen serves twice."""
STILL = ("data.augment.flip=false", "data.augment.crop=none")
"""Without augmentation the input of what is frozen is the same in every epoch."""
AGAINST_FORWARD = "one forward pass over the data"
UNCACHED = "train.cache_features=false"


def probe(setting: Setting) -> Iterator[Row]:
    """Linear probing, from decoded images to the last epoch. One epoch of the peers' way stands for all of theirs."""
    backbone, source, peer = _set_up(setting)
    ours, epoch, forward = [], [], []
    more = ("schedule=linear-probe", f"train.epochs={setting.epochs}", *STILL)
    for _ in _rounds(setting, ours, epoch, forward):
        ours.append(phases(setting, source, backbone, *more)[-1])
        epoch.append(timed(setting, peer.run))
        forward.append(timed(setting, peer.forward))
    what, trained = _what(setting, f"{setting.epochs} epochs"), setting.epochs * setting.images
    speeds = [trained / seconds for seconds in ours], [setting.images / seconds for seconds in epoch]
    yield Row("probe", what, "frozen backbone run in every epoch", "images/s", *speeds, ">= 15")
    yield Row("probe", what, AGAINST_FORWARD, "s", ours, forward, "<= 1.15")


def two_stage(setting: Setting) -> Iterator[Row]:
    """The head alone for some epochs, then everything for one."""
    setting = _smaller(setting)
    backbone, source, peer = _set_up(setting)
    cached, plain, forward = [], [], []
    epochs = HEAD_EPOCHS + 1
    more = ("schedule=two-stage", f"schedule.head_epochs={HEAD_EPOCHS}", f"train.epochs={epochs}")
    for _ in _rounds(setting, cached, plain, forward):
        cached.append(phases(setting, source, backbone, *more))
        forward.append(timed(setting, peer.forward))
        plain.append(phases(setting, source, backbone, *more, UNCACHED))
    first = _what(setting, f"first {HEAD_EPOCHS} epochs")
    yield Row("two-stage", first, AGAINST_FORWARD, "s", [p[0] for p in cached], forward, "<= 1.1")
    yield Row("two-stage", first, UNCACHED, "s", [p[0] for p in cached], [p[0] for p in plain], "<= 1.0")
    yield Row("two-stage", _what(setting, f"all {epochs} epochs"), UNCACHED, "s", *_totals(cached, plain), "<= 1.0")


def gradual(setting: Setting) -> Iterator[Row]:
    """One more group trains after every two epochs; without augmentation what is frozen below need not run again."""
    setting = _smaller(setting)
    backbone, source, _ = _set_up(setting)
    cached, plain = [], []
    more = (
        "schedule=gradual",
        f"schedule.epochs_per_group={EPOCHS_PER_GROUP}",
        f"train.epochs={GRADUAL_EPOCHS}",
        *STILL,
    )
    for _ in _rounds(setting, cached, plain):
        cached.append(phases(setting, source, backbone, *more))
        plain.append(phases(setting, source, backbone, *more, UNCACHED))
    what = _what(setting, f"{GRADUAL_EPOCHS} epochs, still images")
    yield Row("gradual", what, UNCACHED, "s", *_totals(cached, plain), "<= 1.0")


def _totals(cached: list[list[float]], plain: list[list[float]]) -> tuple[list[float], list[float]]:
    return [p[-1] for p in cached], [p[-1] for p in plain]


def _set_up(setting: Setting) -> tuple[str, Path, FrozenBackbone]:
    """The first model, the images, and the peers' way with as many of them in memory."""
    backbone, count = setting.backbones()[0], setting.images
    return backbone, pictures(setting, count), FrozenBackbone(setting, backbone, count, held_out(count))


def _smaller(setting: Setting) -> Setting:
    """Where much trains beside what is frozen, a fifth of the images takes long enough."""
    return replace(setting, images=max(2 * CLASSES, setting.images // 5))


def _rounds(setting: Setting, *measured: list) -> Iterator[int]:
    """One round more than asked for; what the first, which warms up, measured is dropped."""
    for number in range(setting.rounds + 1):
        yield number
        if number == 0:
            for values in measured:
                values.clear()


def _what(setting: Setting, epochs: str) -> str:
    return f"{setting.backbones()[0]}, {setting.images:,} images, {epochs}"
