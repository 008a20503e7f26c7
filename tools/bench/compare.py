"""What `zoo finetune` costs over a bare PyTorch loop: same model, batch and size, round by round in one process.

python tools/bench/compare.py --backbone tf_efficientnet_lite0 --size 64 --batch 64 --steps 20 --rounds 5

After each epoch of the zoo's own trainer (its loader, augmentation, checks, progress and checkpoints included,
validation not) the bare loop runs as many steps, so that whatever else the machine does meets both alike.
"""

import argparse
import json
import platform
import tempfile
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import torch
from bare_loop import CLASSES, BareLoop, arguments
from PIL import Image

from zoo.loading import parse_recipe
from zoo.reporting import Reporter
from zoo.training.material import prepare
from zoo.training.parts import build, cached_halves
from zoo.training.signals import StopFlag
from zoo.training.team import Team
from zoo.training.trainer import Trainer

RECIPE = """
model: {{backbone: {backbone}, pretrained: false}}
data: {{source: {source}, image_size: {size}, batch_size: {batch}, augment: {{flip: true, crop: padded}}}}
train: {{epochs: {epochs}, precision: {precision}, channels_last: {channels_last}}}
"""


class Rounds(Reporter):
    """Times each epoch of the trainer, and then as many steps of the bare loop."""

    def __init__(self, bare: BareLoop, steps: int) -> None:
        self.bare, self.steps = bare, steps
        self.zoo_s: list[float] = []
        self.bare_s: list[float] = []
        self.began: float | None = None

    def start(self, task: str, total: int, done: int = 0) -> None:
        self.began = self.bare.clock() if task.startswith("epoch") else None

    def finish(self) -> None:
        if self.began is not None:
            self.zoo_s.append(self.bare.clock() - self.began)
            self.began = None

    def epoch(self, line) -> None:
        self.bare_s.append(self.bare.run(self.steps))


def write_images(folder: Path, size: int, train: int) -> None:
    """Parquet files with noise for pictures; what is in them costs a loop nothing."""
    noise = np.random.default_rng(0).integers(0, 256, (CLASSES, size, size, 3), dtype=np.uint8)
    pictures = []
    for pixels in noise:
        Image.fromarray(pixels).save(file := BytesIO(), "png")
        pictures.append({"bytes": file.getvalue(), "path": None})
    for split, count in (("train", train), ("validation", CLASSES), ("test", CLASSES)):
        labels = [i % CLASSES for i in range(count)]
        rows = pa.table({"image": [pictures[k] for k in labels], "label": labels})
        parquet.write_table(rows, folder / f"{split}.parquet")


def measure(options: argparse.Namespace, folder: Path) -> Rounds:
    write_images(folder, options.size, options.steps * options.batch)
    values = {**vars(options), "source": folder, "epochs": options.rounds + 1}
    values["channels_last"] = str(not options.contiguous).lower()
    recipe = parse_recipe(RECIPE.format(**values), "compare.py")
    rounds = Rounds(BareLoop(options), options.steps)
    team = Team(recipe.train.precision)
    parts = build(recipe)
    layout = torch.contiguous_format if options.contiguous else torch.channels_last
    parts.model.to(team.device, memory_format=layout)
    with StopFlag() as stop:
        Trainer(prepare(parts, cached_halves(parts, team, rounds), team, rounds), parts.phases, folder / "checkpoints", stop, lambda line: None).fit()
    return rounds


def summary(rounds: Rounds, options: argparse.Namespace) -> dict:
    """Medians over the counted rounds; the overhead is that of each round's pair."""
    images = options.steps * options.batch
    pairs = list(zip(rounds.bare_s, rounds.zoo_s, strict=True))[1:]
    bare, zoo = ([images / seconds for seconds in column] for column in zip(*pairs, strict=True))
    overheads = [100 * (ours / theirs - 1) for theirs, ours in pairs]
    names = ("backbone", "size", "batch", "steps", "rounds", "precision", "contiguous", "clock")
    return {
        **{name: getattr(options, name) for name in names},
        "images_per_s": {"bare": spread(bare), "zoo": spread(zoo)},
        "overhead_percent": spread(overheads),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or "CPU",
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), **{p: version(p) for p in ("torch", "timm", "accelerate")}},
    }


def spread(values: list[float]) -> dict[str, float]:
    return {"median": round(median(values), 2), "low": round(min(values), 2), "high": round(max(values), 2)}


def show(result: dict) -> None:
    print(
        f"{result['backbone']}, {result['size']} px, batches of {result['batch']}, {result['precision']}, "
        f"{result['rounds']} rounds of {result['steps']} steps; {result['device']}, {result['threads']} threads, {result['clock']} time"
    )
    print(", ".join(f"{k} {v}" for k, v in result["versions"].items()))
    print(f"{'':<12}{'median':>10}{'low':>10}{'high':>10}")
    for name, row in result["images_per_s"].items():
        print(f"{name:<12}{row['median']:>10,.1f}{row['low']:>10,.1f}{row['high']:>10,.1f}  images/s")
    row = result["overhead_percent"]
    print(
        f"{'overhead':<12}{row['median']:>+10.1f}{row['low']:>+10.1f}{row['high']:>+10.1f}  % of the bare loop's time"
    )


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--json", metavar="FILE", help="write the result there, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = summary(measure(options, Path(folder)), options)
    show(result)
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=2) + "\n")
