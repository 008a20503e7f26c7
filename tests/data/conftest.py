"""Real pictures and folders for the tests of data, and a cache of their own."""

from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def own_datasets_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def picture() -> Callable[..., Image.Image]:
    """picture(seed, width, height): an RGB image of noise."""

    def make(seed: int = 0, width: int = 9, height: int = 8) -> Image.Image:
        noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        return Image.fromarray(noise)

    return make


@pytest.fixture
def tree(tmp_path: Path, picture: Callable[..., Image.Image]) -> Callable[..., Path]:
    """tree({"train/cat": 3, ...}): a new folder with so many PNG images in each folder."""

    def make(counts: dict[str, int], name: str = "images") -> Path:
        for where, count in counts.items():
            folder = tmp_path / name / where
            folder.mkdir(parents=True)
            for i in range(count):
                picture(len(where) + i).save(folder / f"{i}.png")
        return tmp_path / name

    return make
