"""The recipe cifar10-densenet as users run it: its own data set and its own weights, by their names, from a Hub."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
import timm
import torch
from hubs import Hub, serving

import zoo

ROWS = 6
"""Rows of each class in each split that the Hub of this test holds."""
MARK = 1_000_000
"""Batches that the served weights say a batch norm has seen, to know them by."""
CARD = """---
configs:
- config_name: plain_text
  data_files:
  - split: train
    path: plain_text/train-*
  - split: test
    path: plain_text/test-*
  default: true
---
"""


@pytest.fixture
def hub(tmp_path: Path, cifar10: Path) -> Iterator[Hub]:
    with serving(tmp_path / "hub", tmp_path / "home") as hub:
        put_data(cifar10, hub.folder / "datasets" / "uoft-cs" / "cifar10")
        put_weights(hub.folder / "models")
        yield hub


def put_data(copy: Path, folder: Path) -> None:
    """The first rows of each class, in the layout of the Hub's own repository."""
    (folder / "plain_text").mkdir(parents=True)
    (folder / "README.md").write_text(CARD)
    for split in ("train", "test"):
        file = parquet.ParquetFile(next(copy.glob(f"{split}-*.parquet")))
        table = pyarrow.Table.from_batches([next(file.iter_batches(1000))])
        labels = table["label"].to_numpy()
        rows = np.concatenate([np.flatnonzero(labels == label)[:ROWS] for label in range(10)])
        parquet.write_table(table.take(np.sort(rows)), folder / "plain_text" / f"{split}-00000-of-00001.parquet")


def put_weights(models: Path) -> None:
    """Random weights where timm looks for its default ones."""
    torch.manual_seed(0)
    model = timm.create_model("densenet121")
    model.features.norm0.num_batches_tracked.fill_(MARK)
    timm.models.save_for_hf(model, models / model.pretrained_cfg["hf_hub_id"], safe_serialization=True)


def test_the_recipe_trains_from_a_hub(hub: Hub) -> None:
    small = ("data.limit=40", "data.image_size=32", "train.epochs=2")
    command = ("finetune", "--recipe", "cifar10-densenet", *small, "--out", "run")
    done = hub.run(sys.executable, "-m", "zoo", *command, token=None, ZOO_CACHE=str(hub.home / "cache"))
    assert done.returncode == 0, done.stderr
    assert hub.asked("GET", "/datasets/uoft-cs/cifar10/resolve/") and hub.asked("GET", "/timm/densenet121.ra_in1k/")
    run = hub.home / "run"

    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["phase"] for line in lines if line["event"] == "epoch"] == [1, 2]
    metrics = json.loads((run / "metrics.json").read_text())
    assert 0 <= metrics["accuracy"] <= 1 and metrics["images"] == 40
    assert (len(metrics["classes"]), metrics["classes"][0], metrics["classes"][-1]) == (10, "airplane", "truck")
    data = json.loads((run / "environment.json").read_text())["data"]
    assert data["fingerprint"] and data["splits"]["train"] == {"images": 40, "from": "train, limited to 40"}

    plain = timm.create_model(f"local-dir:{run / 'model'}", pretrained=True).eval()
    assert plain.features.norm0.num_batches_tracked >= MARK, "the training did not start from the served weights"
    assert plain.pretrained_cfg["label_names"] == metrics["classes"]
    trained = zoo.load(run)
    images = trained.inputs(pictures(hub))
    with torch.inference_mode():
        torch.testing.assert_close(plain(images), trained.model(images), atol=1e-5, rtol=1e-4)


def pictures(hub: Hub) -> list[bytes]:
    """The first test images."""
    table = parquet.read_table(next((hub.folder / "datasets").rglob("test-*.parquet"))).slice(0, 8)
    return [row["img"]["bytes"] for row in table.to_pylist()]
