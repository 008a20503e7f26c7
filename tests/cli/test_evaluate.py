"""zoo evaluate"""

import json
from shutil import copytree

import pytest

from zoo.tasks.metrics_table import metrics_of


def test_a_run_gives_again_what_it_wrote(zoo, finished):
    code, out, err = zoo("evaluate", finished.folder, "--json")
    assert (code, err) == (0, "")
    found, written = json.loads(out), json.loads((finished.folder / "metrics.json").read_text())
    assert found.pop("source") == "sample:fashion-mnist"
    assert found.pop("from") == "test, limited to 60"
    assert found == {key: written[key] for key in found}
    assert json.loads(zoo("evaluate", finished.folder / "model", "--json").out)["accuracy"] == found["accuracy"]


def test_the_table(zoo, finished, photos):
    code, out, _ = zoo("evaluate", finished.folder, f"data.source={photos}", "--split", "validation")
    head, *lines = out.splitlines()
    assert (code, head) == (0, f"validation: 5 images, 10 classes, from {photos} (train, the only split)")
    names = [row.name for row in metrics_of("multiclass")]
    assert [line.split()[0] for line in lines[:-1]] == names
    assert lines[-1].startswith("  weakest classes ") and lines[-1].count("(f1 ") == 2


def test_a_model_without_its_run(zoo, finished, photos, tmp_path):
    model = copytree(finished.folder / "model", tmp_path / "model")
    code, out, _ = zoo("evaluate", model, f"data.source={photos}", "--json")
    assert (code, json.loads(out)["images"]) == (0, 5)
    assert zoo("evaluate", model, "data.limit=5") == (
        2, "", f"error: '{model}' is a model without a run; say what to evaluate on: data.source=PATH\n",
    )  # fmt: skip


KEYS = "source, options, config, revision, image_column, label_column, label_delimiter, splits, limit, batch_size, workers, in_memory, corrupt"


@pytest.mark.parametrize(
    "override", ["train.epochs=3", "model.head=mlp", "data.image_size=64", "data.test_fraction=0.9", "x"]
)
def test_what_is_the_models_own_cannot_be_changed(zoo, finished, override):
    keys = KEYS.replace(", ", ", data.")
    message = f"'{override}': evaluate takes other data only (data.{keys}), as in data.source=PATH"
    assert zoo("evaluate", finished.folder, override) == (2, "", f"error: {message}\n")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["RUN", "data.limit"], 2, "'data.limit' is not an override. Write key=value, as in data.limit=512"),
        (["RUN", "data.limit=x"], 2, "command line: data.limit: expected a valid integer, found 'x'"),
        (
            ["zzz"], 1,
            "'zzz' is neither a run, a model folder nor a backbone. Name a folder, hf-hub:user/name, or a backbone (zoo list backbones)",
        ),
        (
            ["RUN", "data.source=gone/x/y"], 1,
            "data.source: there is no folder 'gone/x/y'. Name local data with data.source=PATH (images in one folder "
            "per class, parquet files, or a CSV file of image paths), or run the recipe quickstart, whose data is installed",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_evaluated(zoo, finished, words, code, message):
    words = [str(finished.folder) if word == "RUN" else word for word in words]
    assert zoo("evaluate", *words) == (code, "", f"error: {message}\n")
