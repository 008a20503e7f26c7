"""A run on a CSV file: found again from another folder, and trained by its column of weights."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from processes import tiny
from safetensors.torch import load_file

import zoo
from zoo.config.loading import read_recipe
from zoo.storage.run_folder import Run


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A CSV file of 20 images without suffixes in `pictures`, of the labels 007 and NA: 12 to train on, 4 and 4 others."""
    (tmp_path / "set" / "pictures").mkdir(parents=True)
    lines = ["image_id;label;split"]
    for i in range(20):
        noise = np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "set" / "pictures" / f"{i}.png")
        split = "train" if i < 12 else "val" if i < 16 else "test"
        lines.append(f"pictures/{i};{('007', 'NA')[i % 2]};{split}")
    (tmp_path / "set" / "labels.csv").write_text("\n".join(lines))
    return tmp_path / "set" / "labels.csv"


def test_a_run_is_resumed_from_another_folder(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, out = str(tiny(tmp_path)), tmp_path / "run"
    monkeypatch.chdir(table.parent)
    result = zoo.finetune(recipe, ["data.source=labels.csv", "train.epochs=2"], out=out)
    assert result["classes"] == ["007", "NA"]
    assert read_recipe(out / "recipe.yaml").data.source == str(table)
    trained = load_file(out / "model" / "model.safetensors")
    (out / "metrics.json").unlink()
    shutil.rmtree(out / "model")
    newest = max(Run(out).checkpoints.iterdir(), key=lambda path: path.name)
    shutil.rmtree(newest) if newest.is_dir() else newest.unlink()
    monkeypatch.chdir(tmp_path)
    zoo.resume(out)
    again = load_file(out / "model" / "model.safetensors")
    assert all(torch.equal(again[name], tensor) for name, tensor in trained.items())
    assert zoo.evaluate(out, split="validation")["images"] == 4


def weighted(table: Path, weights: Sequence[int], name: str) -> str:
    """The same table, its training rows with these weights."""
    lines = table.read_text().splitlines()
    rows = [f"{line};{w}" for line, w in zip(lines[1:], [*weights, *[1] * 8], strict=True)]
    (table.parent / name).write_text("\n".join([f"{lines[0]};weight", *rows]))
    return str(table.parent / name)


def repeated(table: Path, times: Sequence[int], name: str) -> str:
    """The same table, each training row so many times."""
    lines = table.read_text().splitlines()
    rows = [line for line, n in zip(lines[1:], [*times, *[1] * 8], strict=True) for _ in range(n)]
    (table.parent / name).write_text("\n".join([lines[0], *rows]))
    return str(table.parent / name)


STEP = (
    "schedule.name=linear-probe", "train.epochs=1", "model.head.dropout=0", "data.augment.flip=false",
    "data.augment.crop=none", "train.freeze_bn_stats=true", "data.batch_size=64", "data.limit=null",
    "optim.name=sgd", "optim.warmup_epochs=0", "optim.clip_norm=null", "optim.lr=0.1", "train.channels_last=false",
    "train.precision=fp32",
)  # fmt: skip
COUNTS = [2, 0, 1, 1, 1, 3, 1, 1, 0, 1, 2, 1]


@pytest.mark.parametrize("cached", [True, False])
def test_a_weight_counts_as_so_many_equal_rows(cached: bool, table: Path, tmp_path: Path) -> None:
    ways = {
        "weights": [f"data.source={weighted(table, COUNTS, 'w.csv')}", "data.weight_column=weight"],
        "rows": [f"data.source={repeated(table, COUNTS, 'r.csv')}"],
        "plain": [f"data.source={table}"],
    }
    heads = {}
    for way, overrides in ways.items():
        keys = [*STEP, *overrides, f"train.cache_features={str(cached).lower()}"]
        zoo.finetune(str(tiny(tmp_path)), keys, out=tmp_path / way)
        heads[way] = load_file(tmp_path / way / "model" / "model.safetensors")
    for name, tensor in heads["rows"].items():
        assert torch.allclose(heads["weights"][name].float(), tensor.float(), atol=1e-6)
    assert not all(torch.allclose(heads["plain"][n].float(), t.float(), atol=1e-5) for n, t in heads["rows"].items())
