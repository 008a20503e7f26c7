"""Rows in which everything trains: against a bare loop, timm's own pieces, and Hugging Face's Trainer."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import torch
from bare_loop import BareLoop
from limits import limits
from ours import alternate
from peers import AUGMENT, TimmPieces
from pictures import pictures
from row import LeftOut, Row
from setting import Setting

INSTALL = "pip install transformers (into an environment that may be thrown away), then: tools/bench/run.py trainer"
DEVICE = ("densenet121", "resnet50", "vit_small_patch16_224")
DEVICE_SIZES = (128, 224)


def bare(setting: Setting) -> Iterator[Row]:
    """The least that training takes: ready tensors."""
    for backbone in setting.backbones():
        loop = BareLoop(backbone, setting.size, setting.batch, setting.precision)
        yield from _trained(
            setting,
            "bare",
            backbone,
            {"bare loop, ready tensors": lambda loop=loop: loop.run(setting.steps)},
            ">= 0.98",
        )


def timm(setting: Setting) -> Iterator[Row]:
    """The same images, decoded by timm's loader in every epoch, and the same augmentation."""
    for backbone in setting.backbones():
        peer = TimmPieces(setting, _images(setting), backbone)
        yield from _trained(setting, "timm", backbone, {"timm's loader and step": peer.run}, ">= 1.0", *AUGMENT)


def trainer(setting: Setting) -> Iterator[Row | LeftOut]:
    """The same with the `Trainer` of transformers."""
    if find_spec("transformers") is None:
        yield LeftOut("trainer", f"transformers is not installed here. {INSTALL}")
        return
    from hugging_face import HuggingFace

    for backbone in setting.backbones():
        peer = HuggingFace(setting, _images(setting), backbone)
        yield from _trained(setting, "trainer", backbone, {"Trainer of transformers": peer.run}, ">= 1.0", *AUGMENT)


def device(setting: Setting) -> Iterator[Row | LeftOut]:
    """On a GPU: large models in bfloat16 against the bare loop, each compiled against the compiled one, and the card."""
    if not torch.cuda.is_available():
        yield LeftOut("device", "no CUDA device here. On a machine with one: python tools/bench/run.py device")
        return
    for backbone in setting.backbones(DEVICE):
        for size in DEVICE_SIZES:
            large = replace(setting, size=size, batch=2 * setting.batch, precision="bf16")
            for compiled, goal in ((False, ">= 0.98"), (True, ">= 0.95")):
                loop = BareLoop(backbone, size, large.batch, large.precision, compiled)
                name = "compiled bare loop" if compiled else "bare loop, ready tensors"
                turns = {name: lambda loop=loop: loop.run(setting.steps)}
                rows = list(_trained(large, "device", backbone, turns, goal, f"train.compile={str(compiled).lower()}"))
                yield from rows
            ours = rows[-1].ours
            for name, allowed in limits(backbone, size, large.batch, setting.device):
                yield Row("device", rows[-1].what, name, "images/s", ours, [allowed] * len(ours))


def _trained(
    setting: Setting, row: str, backbone: str, turns: dict[str, Callable[[], None]], goal: str, *more: str
) -> Iterator[Row]:
    speeds = alternate(setting, _images(setting), backbone, turns, *more)
    for name in turns:
        yield Row(row, f"{backbone}, {setting.trains}", name, "images/s", speeds["zoo"], speeds[name], goal)


def _images(setting: Setting) -> Path:
    """As many training images as an epoch has steps for."""
    return pictures(setting, setting.steps * setting.batch)
