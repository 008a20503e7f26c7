"""Prediction from Python: one result per picture, in order, as the model itself would say."""

from pathlib import Path
from shutil import copy

import pytest
import torch
from finished import Finished

import zoo
from zoo.errors import ModelError, UsageError
from zoo.verbs.predict import BATCH, device


def test_results_are_the_models_own(finished: Finished, photos: Path) -> None:
    files = sorted(photos.rglob("*.png"))
    classifier = zoo.load(finished.folder)
    expected = classifier([str(file) for file in files])
    for file, row, result in zip(files, expected, zoo.predict(finished.folder, [photos], top=10), strict=True):
        assert result["file"] == str(file)
        found = {c["name"]: c["probability"] for c in result["classes"]}
        assert found == pytest.approx(dict(zip(classifier.classes, row.tolist(), strict=True)), abs=1e-5)


def test_order_is_kept_across_batches_and_faults(finished: Finished, photos: Path, tmp_path: Path) -> None:
    count, bad = BATCH + 3, {0, BATCH - 1, BATCH, BATCH + 1, BATCH + 2}
    for i in range(count):
        copy(photos / "Bag" / "0.png", tmp_path / f"{i:03}.png")
    for i in bad:
        (tmp_path / f"{i:03}.png").write_bytes(b"")
    results = list(zoo.predict(finished.folder, [tmp_path]))
    assert [Path(r["file"]).name for r in results] == [f"{i:03}.png" for i in range(count)]
    assert {i for i, r in enumerate(results) if r.get("error") == "the file is empty"} == bad
    assert all(len(r["classes"]) == 1 for i, r in enumerate(results) if i not in bad)


def test_what_is_wrong_is_said_before_anything_is_loaded(finished: Finished, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no picture at"):
        zoo.predict(tmp_path / "no model", [tmp_path])
    (tmp_path / "a model").mkdir()
    with pytest.raises(ModelError, match=r"no model' does not exist; .* Did you mean 'a model'\?$"):
        zoo.predict(tmp_path / "no model", [photos])
    with pytest.raises(ModelError, match="is neither a run nor a model folder"):
        zoo.predict(tmp_path / "a model", [photos])
    with pytest.raises(ModelError, match="is a file; name a run"):
        zoo.predict(__file__, [photos])
    assert list(zoo.predict(finished.folder, [])) == []


def test_the_cpu_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert device() == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_where_there_is_one(finished: Finished, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert device().type == "cuda"
    on_gpu = [c for r in zoo.predict(finished.folder, [photos], top=10) for c in r["classes"]]
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    on_cpu = [c for r in zoo.predict(finished.folder, [photos], top=10) for c in r["classes"]]
    assert [c["probability"] for c in on_gpu] == pytest.approx([c["probability"] for c in on_cpu], abs=5e-3)
