"""The 12 runs that are compared: random weights, 72 images of 32 px, a few seconds each.

Together they have every freezing schedule once, eight kinds of head, all losses, and every way in which the training loop
reads images, averages weights, spreads over processes and goes on after a kill. What `auto` would measure is fixed.
"""

from dataclasses import dataclass

BASE = """
model: {backbone: test_resnet, pretrained: false}
data: {source: "sample:fashion-mnist", image_size: 32, batch_size: 16, limit: 72, augment: {flip: true, crop: padded}}
optim: {lr: 3e-3, warmup_epochs: 0.5, clip_norm: 1.0}
train: {epochs: 3, seed: 0, precision: fp32, channels_last: false, compile: false}
"""
"""The recipe that all runs share: 5 optimiser steps an epoch."""


@dataclass(frozen=True)
class Run:
    """One training run.

    settings: `key=value` pairs over `BASE`, keys by their newest names.
    processes: how many train together.
    killed: whether it is killed at a drawn step and resumed.
    """

    settings: tuple[str, ...]
    processes: int = 1
    killed: bool = False


RUNS: dict[str, Run] = {
    "mixup": Run(
        (
            *("schedule=none", "model.head={name: linear, dropout: 0.1}", "train.label_smoothing=0.1"),
            *("data.augment.mixup=0.2", "data.augment.cutmix=0.2", "data.augment.rotate=10"),
            *("data.augment.jitter=0.2", "data.augment.erase=0.3", "data.augment.crop=resized"),
        )
    ),
    "cached-features": Run(
        (
            *("schedule=linear-probe", "model.concat=[test_vit]", "model.head=mlp"),
            *("data.augment.flip=false", "data.augment.crop=none"),
        )
    ),
    "views": Run(("schedule=two-stage", "train.views=2", "model.head=multi-dropout")),
    "ema": Run(("schedule=lp-ft", "train.ema=0.9", "train.best_by=macro_f1", "model.head=gru")),
    "resume": Run(
        (
            *("schedule=gradual", "data.batch_size=8", "train.accumulation=2", "train.checkpoint_s=0"),
            *("train.ema=0.9", "data.augment.mixup=0.2", "model.head={name: linear, dropout: 0.1}"),
        ),
        killed=True,
    ),
    "two-processes": Run(
        ("schedule=plateau", "train.epochs=4", "model.head=cosine", "data.augment.cutmix=0.2"), processes=2
    ),
    "streaming": Run(
        ("schedule=first-k", "data.in_memory=false", "data.workers=2", "train.loss=poly1", "model.head=bilinear")
    ),
    "plugin-head": Run(("schedule=surgical", "model.head=prototypes", "train.loss=focal")),
    "norms": Run(("schedule=norm-only", "model.head=pooled", "train.freeze_bn_stats=true")),
    "biases": Run(("schedule=bias-only", "model.backbone=test_vit", "model.head=attention", "train.loss=bce")),
    "freezing-out": Run(
        (
            *("schedule=freeze-out", "optim.name=sgd", "optim.options={momentum: 0.9}", "optim.warmup_epochs=0"),
            *("train.early_stop.patience=2", "model.head=linear"),
        )
    ),
    "lora": Run(
        (
            *("schedule=discriminative", "model.backbone=test_vit", "model.adapter={name: lora, rank: 2}"),
            *("model.head=token-mean", "optim.layer_decay=0.8"),
        )
    ),
}
"""Name -> run."""
