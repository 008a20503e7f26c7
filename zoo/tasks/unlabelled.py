"""Images without labels: what the splits of data need of a task where nothing is asked of an image."""

from collections.abc import Sequence

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from zoo.errors import DataError
from zoo.tasks.targets import Labels


class Unlabelled:
    """The part of a task that images without labels need. Targets: zeros, int64 (N,), without meaning."""

    name = "unlabelled"

    def encode(self, split: Dataset, labels: Labels, classes: Sequence[str], name: str, kind: str) -> np.ndarray:
        """Zeros, int64 (N,)."""
        return np.zeros(len(split), dtype=np.int64)

    def check_train(self, targets: np.ndarray, classes: Sequence[str], missing: Sequence[str]) -> list[str]:
        """No warnings. Raises DataError for too few images. targets: int64 (N,)."""
        if len(targets) <= len(missing):
            raise DataError(
                f"the training split needs at least {1 + len(missing)} images and has {len(targets)}. Add images"
            )
        return []

    def strata(self, targets: np.ndarray) -> np.ndarray:
        """One class for all images, int64 (N,)."""
        return targets

    def example(self, images: int, classes: int) -> Tensor:
        """Targets of made-up images, int64 (B,)."""
        return torch.zeros(images, dtype=torch.int64)
