"""The row without training: the metrics of one epoch's validation."""

from collections.abc import Iterator

import torch
from ours import timed
from row import Row
from setting import Setting

from zoo.evaluation.evaluation import Evaluation
from zoo.evaluation.inference import Predictions
from zoo.tasks.task import find_task

CLASSES = 1000
SCORED = 5
"""Times `--images` of logits whose metrics are computed: 50,000 of 1,000 classes."""
LIMIT_S = 2.0
"""Seconds that the metrics of 50,000 images of 1,000 classes may take on one core."""


def metrics(setting: Setting) -> Iterator[Row]:
    """What is computed after each epoch, on one thread."""
    count = SCORED * setting.images
    generator, threads = torch.Generator().manual_seed(0), torch.get_num_threads()
    logits = torch.randn(count, CLASSES, generator=generator)
    targets = torch.randint(CLASSES, (count,), generator=generator)
    predictions = Predictions(logits, targets, torch.arange(count))

    def summarise() -> None:
        loss = torch.nn.CrossEntropyLoss(reduction="none")
        Evaluation(predictions, find_task("multiclass"), (), loss).epoch_summary("accuracy")

    torch.set_num_threads(1)
    try:
        seconds = [timed(setting, summarise) for _ in range(setting.rounds + 1)][1:]
    finally:
        torch.set_num_threads(threads)
    limit = LIMIT_S * count / 50_000
    what = f"one validation of {count:,} x {CLASSES:,} logits, one thread"
    yield Row("metrics", what, "2 s for 50,000 images", "s", seconds, [limit] * len(seconds), "<= 1.0")
