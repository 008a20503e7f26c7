"""How others do the same work: timm's own pieces as its `train.py` puts them together, and a linear probe that runs its
frozen backbone in every epoch. Each `run()` is one epoch. Hugging Face's Trainer is in `hugging_face.py`.
"""

import os
from pathlib import Path

import torch
from bare_loop import CLASSES, build
from setting import Setting
from timm.data import create_dataset, create_loader, resolve_model_data_config
from timm.optim import create_optimizer_v2
from timm.utils import AverageMeter
from torch import nn
from torch.nn import functional as F

SCALE = (0.5, 1.0)
"""Share of the area that a random resized crop keeps: `crop: resized` of the zoo."""
AUGMENT = ("data.augment.crop=resized", f"data.augment.min_scale={SCALE[0]}", "data.augment.flip=true")
"""The same augmentation in the zoo's words."""


def workers(setting: Setting) -> int:
    """Loading processes of a peer: one per core; none where processor time counts, which would leave them out."""
    return 0 if setting.clock == "cpu" else os.cpu_count() or 1


class TimmPieces:
    """timm's dataset, loader, transforms and optimiser, and the step of its `train.py`."""

    def __init__(self, setting: Setting, folder: Path, backbone: str) -> None:
        self.setting = setting
        model = build(backbone, setting.size)
        config = resolve_model_data_config(model)
        self.model = model.to(setting.device, memory_format=torch.channels_last).train()
        self.loader = create_loader(
            create_dataset("", root=str(folder), split="train", is_training=True),
            input_size=(3, setting.size, setting.size),
            batch_size=setting.batch,
            is_training=True,
            scale=SCALE,
            hflip=0.5,
            color_jitter=0.0,
            interpolation="bilinear",
            mean=config["mean"],
            std=config["std"],
            num_workers=workers(setting),
            persistent_workers=workers(setting) > 0,
            pin_memory=setting.device.type == "cuda",
            device=setting.device,
        )
        self.optimizer = create_optimizer_v2(self.model, opt="adamw", lr=1e-3, weight_decay=0.02)
        self.losses = AverageMeter()

    def run(self) -> None:
        for inputs, labels in self.loader:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
            with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.setting.precision == "bf16"):
                loss = F.cross_entropy(self.model(inputs), labels)
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.losses.update(loss.item(), len(inputs))


class FrozenBackbone:
    """A linear probe whose frozen backbone runs in every epoch, on images that lie decoded in memory (uint8)."""

    def __init__(self, setting: Setting, backbone: str, train: int, validation: int) -> None:
        self.setting, self.train = setting, train
        model = build(backbone, setting.size).to(setting.device, memory_format=torch.channels_last).eval()
        self.head = nn.Linear(model.get_classifier().in_features, CLASSES).to(setting.device)
        model.reset_classifier(0)
        self.backbone, self.optimizer = model, torch.optim.AdamW(self.head.parameters(), lr=1e-3)
        self.images = torch.randint(256, (train + validation, 3, setting.size, setting.size), dtype=torch.uint8)
        self.labels = torch.randint(CLASSES, (train + validation,), device=setting.device)

    def forward(self) -> None:
        """The backbone once over all images, in the best way: no autograd, large batches."""
        for at in torch.arange(len(self.images)).split(2 * self.setting.batch):
            self._features(at)

    def run(self) -> None:
        for at in torch.randperm(self.train).split(self.setting.batch):
            F.cross_entropy(self.head(self._features(at).clone()), self.labels[at]).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
        for at in torch.arange(self.train, len(self.images)).split(2 * self.setting.batch):
            self.head(self._features(at).clone()).argmax(1)

    def _features(self, at: torch.Tensor) -> torch.Tensor:
        inputs = self.images[at].to(self.setting.device).float().div(255).sub(0.5).div(0.25)
        with (
            torch.inference_mode(),
            torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.setting.precision == "bf16"),
        ):
            return self.backbone(inputs.contiguous(memory_format=torch.channels_last)).float()
