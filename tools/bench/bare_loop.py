"""The least that training takes: a plain PyTorch loop over ready tensors, the yardstick for `zoo finetune`.

python tools/bench/bare_loop.py --backbone tf_efficientnet_lite0 --size 64 --batch 64 --steps 20
"""

import argparse
import time

import timm
import torch
from torch.nn import functional as F

from zoo.plugins import find_backbone

CLASSES = 10
READY = 4
"""Batches that lie ready and are taken in turn."""


class BareLoop:
    """Everything trains, by AdamW, in float32 or by bfloat16 autocast, on batches that are already on the device."""

    def __init__(self, backbone: str, size: int, batch: int, precision: str = "fp32", compiled: bool = False) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.bf16 = precision == "bf16"
        model = build(backbone, size).to(self.device, memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        self.model = torch.compile(model) if compiled else model
        shape = (batch, 3, size, size)
        self.inputs = [torch.randn(shape, device=self.device) for _ in range(READY)]
        self.inputs = [images.to(memory_format=torch.channels_last) for images in self.inputs]
        self.labels = [torch.randint(CLASSES, (batch,), device=self.device) for _ in range(READY)]

    def run(self, steps: int) -> None:
        """Train for so many steps."""
        for step in range(steps):
            inputs, labels = self.inputs[step % READY], self.labels[step % READY]
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                logits = self.model(inputs)
            F.cross_entropy(logits.float(), labels).backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def build(backbone: str, size: int) -> torch.nn.Module:
    """A timm model or a plugin's, random weights, 10 classes."""
    plugin, name = find_backbone(backbone), backbone.removeprefix("timm:")
    options = {"img_size": size} if name.startswith("vit") else {}
    model = plugin.load()(pretrained=False, in_chans=3) if plugin else timm.create_model(name, **options)
    model.reset_classifier(CLASSES)
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backbone", default="tf_efficientnet_lite0", help="a timm name or a plugin's backbone")
    parser.add_argument("--size", type=int, default=64, help="pixels")
    parser.add_argument("--batch", type=int, default=64, help="images per step")
    parser.add_argument("--steps", type=int, default=20, help="per round")
    parser.add_argument("--rounds", type=int, default=5, help="counted; one more warms up")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--compiled", action="store_true", help="by torch.compile")
    options = parser.parse_args()
    loop = BareLoop(options.backbone, options.size, options.batch, options.precision, options.compiled)
    for number in range(options.rounds + 1):
        start = time.perf_counter()
        loop.run(options.steps)
        speed = options.steps * options.batch / (time.perf_counter() - start)
        print(f"{'warm-up' if number == 0 else f'round {number}'}: {speed:,.1f} images/s")
