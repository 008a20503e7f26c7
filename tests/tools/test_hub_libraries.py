"""The small Hub and libraries that know no other Hub than `HF_ENDPOINT`: `datasets` and timm."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
import timm
import torch
from hubs import Hub, serving


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with serving(tmp_path / "hub", tmp_path / "home") as hub:
        yield hub


def test_a_data_set_is_loaded_by_its_name(hub: Hub, cifar10: Path) -> None:
    folder = hub.folder / "datasets" / "uoft-cs" / "cifar10" / "plain_text"
    folder.mkdir(parents=True)
    for split, rows in (("train", 40), ("test", 20)):
        table = parquet.read_table(next(cifar10.glob(f"{split}-*.parquet"))).slice(0, rows)
        parquet.write_table(table, folder / f"{split}-00000-of-00001.parquet")
    said = hub.python(
        """
from datasets import load_dataset
data = load_dataset("uoft-cs/cifar10")
stream = next(iter(load_dataset("uoft-cs/cifar10", split="test", streaming=True)))
result = [{split: len(rows) for split, rows in data.items()}, data["train"][0]["img"].size, sorted(stream)]
""",
        token=None,
    )
    assert said == [{"train": 40, "test": 20}, [32, 32], ["img", "label"]]


def test_a_model_that_timm_saved_is_built_by_its_name(hub: Hub) -> None:
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=3).eval()
    folder = hub.folder / "models" / "ann" / "net"
    timm.models.save_for_hf(model, folder, safe_serialization=True)
    with torch.inference_mode():
        expected = model(torch.ones(1, 3, 32, 32))[0].tolist()
    said = hub.python("""
import timm, torch
with torch.inference_mode():
    model = timm.create_model("hf-hub:ann/net", pretrained=True).eval()
    result = model(torch.ones(1, 3, 32, 32))[0].tolist()
""")
    assert said == expected
