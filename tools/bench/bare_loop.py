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
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


class BareLoop:
    """Everything trains, by AdamW, in float32 or by bfloat16 autocast, on batches that are already on the device."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.bf16, self.clock = options.precision == "bf16", CLOCKS[options.clock]
        layout = torch.contiguous_format if options.contiguous else torch.channels_last
        self.model = build(options.backbone).to(self.device, memory_format=layout).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)
        batch, shape = options.batch, (options.batch, 3, options.size, options.size)
        self.inputs = [torch.randn(shape, device=self.device).to(memory_format=layout) for _ in range(READY)]
        self.labels = [torch.randint(CLASSES, (batch,), device=self.device) for _ in range(READY)]

    def run(self, steps: int) -> float:
        """Train for so many steps; the seconds they took."""
        self._wait()
        start = self.clock()
        for step in range(steps):
            inputs, labels = self.inputs[step % READY], self.labels[step % READY]
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                logits = self.model(inputs)
            F.cross_entropy(logits.float(), labels).backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        self._wait()
        return self.clock() - start

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def build(backbone: str) -> torch.nn.Module:
    """A timm model or a plugin's, random weights, 10 classes."""
    plugin = find_backbone(backbone)
    name = backbone.removeprefix("timm:")
    model = plugin.load()(pretrained=False, in_chans=3) if plugin else timm.create_model(name)
    model.reset_classifier(CLASSES)
    return model


def arguments(about: str) -> argparse.ArgumentParser:
    """The options that both programs take."""
    parser = argparse.ArgumentParser(description=about.partition("\n")[0])
    parser.add_argument("--backbone", default="tf_efficientnet_lite0", help="a timm name or a plugin's backbone")
    parser.add_argument("--size", type=int, default=64, help="pixels")
    parser.add_argument("--batch", type=int, default=64, help="images per step")
    parser.add_argument("--steps", type=int, default=20, help="per round")
    parser.add_argument("--rounds", type=int, default=5, help="counted; one more warms up")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--contiguous", action="store_true", help="memory format; channels-last unless given")
    parser.add_argument(
        "--clock",
        choices=list(CLOCKS),
        default="wall",
        help="cpu: processor time, for a machine that is also busy otherwise",
    )
    return parser


if __name__ == "__main__":
    options = arguments(__doc__).parse_args()
    loop = BareLoop(options)
    for number in range(options.rounds + 1):
        speed = options.steps * options.batch / loop.run(options.steps)
        print(f"{'warm-up' if number == 0 else f'round {number}'}: {speed:,.1f} images/s")
