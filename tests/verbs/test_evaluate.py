"""Evaluation: a run's own split as the run carved it, foreign data whole, every image once."""

from io import BytesIO
from pathlib import Path
from shutil import copytree

import pyarrow.parquet
import pytest
from finished import SETTINGS, Finished
from PIL import Image

import zoo
from zoo.data.sources.sample import SAMPLES
from zoo.errors import DataError, UnknownName
from zoo.reporting import Reporter


class Warnings(Reporter):
    """Keeps what the user should see."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def warn(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flat image folder of 20 bags and 20 dresses."""
    folder = tmp_path_factory.mktemp("bags")
    rows = pyarrow.parquet.read_table(SAMPLES / "fashion-mnist" / "train-00000-of-00001.parquet").to_pylist()
    for name, label in (("Bag", 8), ("Dress", 3)):
        (folder / name).mkdir()
        for i, row in enumerate([r for r in rows if r["label"] == label][:20]):
            Image.open(BytesIO(row["image"]["bytes"])).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def own(bags: Path) -> Path:
    """A run on them that names its columns and splits, limits itself and skips what it cannot read."""
    (bags / "Bag" / "0.png").write_bytes(b"corrupt")
    how = ["data.limit=9", "data.corrupt=skip", "data.label_column=label", "data.splits.train=train", "train.seed=4"]
    zoo.finetune("quickstart", [*SETTINGS, f"data.source={bags}", *how], out=bags.with_name("own"))
    return bags.with_name("own")


def matrix(metrics: dict) -> dict[str, int]:
    """Images per class that were counted, from the confusion matrix."""
    rows = zip(metrics["classes"], metrics["confusion_matrix"], strict=True)
    return {name: sum(row) for name, row in rows if sum(row)}


def test_foreign_data_without_splits_is_evaluated_whole(finished: Finished, photos: Path, tmp_path: Path) -> None:
    metrics = zoo.evaluate(finished.folder, [f"data.source={photos}"])
    assert matrix(metrics) == {"Dress": 2, "Bag": 3}
    assert (metrics["images"], metrics["from"], len(metrics["classes"])) == (5, "train, the only split", 10)
    assert zoo.evaluate(finished.folder, [f"data.source={photos}"], "validation")["images"] == 5
    assert matrix(zoo.evaluate(finished.folder, [f"data.source={photos}", "data.limit=2"])) == {"Dress": 1, "Bag": 1}
    copytree(photos / "Bag", tmp_path / "one" / "Bag")
    assert matrix(zoo.evaluate(finished.folder, [f"data.source={tmp_path / 'one'}"])) == {"Bag": 3}


def test_foreign_data_with_splits(finished: Finished, photos: Path, tmp_path: Path) -> None:
    copytree(photos, tmp_path / "train")
    copytree(photos / "Bag", tmp_path / "val" / "Bag")
    source = [f"data.source={tmp_path}"]
    assert matrix(zoo.evaluate(finished.folder, source, "validation")) == {"Bag": 3}
    assert zoo.evaluate(finished.folder, [*source, "data.splits.test=train"])["from"] == "train"
    with pytest.raises(DataError) as problem:
        zoo.evaluate(finished.folder, source)
    assert str(problem.value) == (
        f"data.source: '{tmp_path}' has no test split (train, val). Name one: data.splits.test=train"
    )


def test_the_runs_own_source_stays_carved_however_it_is_spelt(
    own: Path, bags: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = zoo.evaluate(own)
    assert plain["from"] == "train, stratified 0.1, seed 5"
    assert plain["images"] == 4
    monkeypatch.chdir(bags)
    for spelling in (bags, f"{bags}/Bag/..", "."):
        assert zoo.evaluate(own, [f"data.source={spelling}"])["confusion_matrix"] == plain["confusion_matrix"]
    other = zoo.evaluate(own / "model", [f"data.source={photos}"])
    assert (other["images"], other["classes"]) == (5, ["Bag", "Dress"])


def test_what_a_run_said_of_its_own_source_does_not_hold_for_another(own: Path, saved: Path) -> None:
    """Neither its limit, nor its columns, nor its splits."""
    assert zoo.evaluate(own, [f"data.source={saved}"])["images"] == 12
    with pytest.raises(UnknownName, match=r"unknown column in data.label_column 'label'. There are: picture, kind."):
        zoo.evaluate(own, [f"data.source={saved}", "data.label_column=label"])


@pytest.fixture
def saved(bags: Path, tmp_path: Path) -> Path:
    """Parquet with other columns, a single oddly named split, labels as text."""
    files = [bags / name / f"{i}.png" for name in ("Bag", "Dress") for i in range(5, 11)]
    columns = {
        "picture": [{"bytes": f.read_bytes(), "path": None} for f in files],
        "kind": [f.parent.name for f in files],
    }
    (tmp_path / "saved").mkdir()
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "saved" / "judged-00000-of-00001.parquet")
    return tmp_path / "saved"


def test_unreadable_images_of_the_training_split_are_counted_out(own: Path, bags: Path) -> None:
    reporter = Warnings()
    metrics = zoo.evaluate(own, ["data.limit=32"], "train", reporter)
    assert metrics["images"] == sum(matrix(metrics).values()) == 31
    assert reporter.said == [
        f"skipped 1 of 32 images cannot be read: {bags / 'Bag' / '0.png'}: not an image that can be read. "
        "Mend or remove them, or pass data.corrupt=skip for training images"
    ]


@pytest.mark.parametrize(
    ("names", "found"), [(("Bag", "bag"), "'bag'"), (("Socks",), "'Socks'"), (("a", "b", "Dress"), "'a' and 1 more")]
)
def test_other_classes(finished: Finished, photos: Path, tmp_path: Path, names: tuple[str, ...], found: str) -> None:
    for name in names:
        copytree(photos / "Bag", tmp_path / "odd" / name)
    with pytest.raises(DataError) as problem:
        zoo.evaluate(finished.folder, [f"data.source={tmp_path / 'odd'}"])
    assert str(problem.value) == (
        f"data.source: '{tmp_path / 'odd'}' has the class {found}, which the model's 10 classes do not include. "
        "Evaluate on data of the model's own classes"
    )


def test_a_split_that_does_not_exist(finished: Finished) -> None:
    with pytest.raises(UnknownName) as problem:
        zoo.evaluate(finished.folder, split="val")
    assert str(problem.value) == "unknown split 'val'. There are: train, validation, test."
