"""Hugging Face's way: `transformers.Trainer` on `datasets`, with torchvision's transforms, as its example for images.

`run()` is one epoch.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Semaphore
from typing import Any

import torch
from bare_loop import build
from datasets import Dataset, disable_progress_bars, load_dataset
from peers import SCALE, workers
from setting import Setting
from timm.data import resolve_model_data_config
from torch import nn
from torch.nn import functional as F
from torchvision.transforms import v2
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments


class WithLoss(nn.Module):
    """A classifier as `Trainer` wants it: it gives the loss, too."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.model(pixel_values)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


class HuggingFace:
    """The Trainer in a thread of its own, which waits before each epoch for its turn."""

    def __init__(self, setting: Setting, folder: Path, backbone: str) -> None:
        go, done = Semaphore(0), Semaphore(0)

        class Turn(TrainerCallback):
            def on_epoch_begin(self, *_, **__) -> None:
                go.acquire()

            def on_epoch_end(self, *_, **__) -> None:
                done.release()

        model = build(backbone, setting.size)
        self.trainer = Trainer(
            WithLoss(model.to(memory_format=torch.channels_last)),
            trainer_arguments(setting),
            train_dataset=transformed_images(setting, folder, resolve_model_data_config(model)),
            callbacks=[Turn()],
        )
        self.trainer.remove_callback(PrinterCallback)
        self.go, self.done = go, done
        self.training = ThreadPoolExecutor(1).submit(self._train)

    def _train(self) -> None:
        try:
            self.trainer.train()
        finally:
            self.done.release()

    def run(self) -> None:
        self.go.release()
        self.done.acquire()
        if self.training.done():
            self.training.result()


def trainer_arguments(setting: Setting) -> TrainingArguments:
    """`TrainingArguments` of one epoch for each round, and one to warm up."""
    return TrainingArguments(
        output_dir=str(setting.folder / "trainer"),
        per_device_train_batch_size=setting.batch,
        num_train_epochs=setting.rounds + 1,
        learning_rate=1e-3,
        weight_decay=0.02,
        bf16=setting.precision == "bf16",
        dataloader_num_workers=workers(setting),
        dataloader_persistent_workers=workers(setting) > 0,
        dataloader_pin_memory=setting.device.type == "cuda",
        remove_unused_columns=False,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )


def transformed_images(setting: Setting, folder: Path, config: Mapping[str, Any]) -> Dataset:
    """The training images, cropped, flipped and normalised by torchvision whenever they are read."""
    change = v2.Compose(
        [
            v2.RandomResizedCrop(setting.size, scale=SCALE),
            v2.RandomHorizontalFlip(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(config["mean"], config["std"]),
        ]
    )

    def transformed(rows: dict[str, list]) -> dict[str, list]:
        return {"pixel_values": [change(i.convert("RGB")) for i in rows["image"]], "labels": rows["label"]}

    disable_progress_bars()
    images = load_dataset("imagefolder", data_dir=str(folder / "train"), cache_dir=str(setting.folder / "datasets"))
    return images["train"].with_transform(transformed)
