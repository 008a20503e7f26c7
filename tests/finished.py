"""One tiny finished run that all tests of the verbs share, made by the command line itself."""

from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import pyarrow.parquet
import pytest
from PIL import Image
from processes import here

from zoo.data.sources.sample import SAMPLES

SETTINGS = (
    "model.backbone=test_resnet", "model.pretrained=false", "data.limit=60", "data.image_size=32",
    "train.epochs=2", "schedule.head_epochs=1",
)  # fmt: skip


@dataclass(frozen=True)
class Finished:
    """The run folder, and what `zoo finetune --json` said."""

    folder: Path
    out: str
    err: str


@cache
def train(base: Path) -> Finished:
    folder = base / "finished"
    done = here("finetune", "--recipe", "quickstart", "--json", "--out", folder, *SETTINGS)
    assert done.returncode == 0, done.stderr
    return Finished(folder, done.stdout, done.stderr)


@cache
def clothes(base: Path) -> Path:
    """A flat image folder of the sample's classes `Bag` and `Dress`: 3 and 2 test images."""
    folder = base / "clothes"
    rows = pyarrow.parquet.read_table(SAMPLES / "fashion-mnist" / "test-00000-of-00001.parquet").to_pylist()
    for name, label, count in (("Bag", 8, 3), ("Dress", 3, 2)):
        (folder / name).mkdir(parents=True)
        for i, row in enumerate([r for r in rows if r["label"] == label][:count]):
            Image.open(BytesIO(row["image"]["bytes"])).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return train(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clothes(tmp_path_factory.getbasetemp())
