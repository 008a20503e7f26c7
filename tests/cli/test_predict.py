"""zoo predict"""

import json
import re
from shutil import copy

import pytest
from PIL import Image, ImageDraw


@pytest.fixture
def mixed(photos, tmp_path, monkeypatch):
    """A folder of pictures of which one is corrupt, one hidden, one no picture."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.PNG", ".hidden.png"):
        copy(photos / "Bag" / "0.png", tmp_path / name)
    (tmp_path / "bad.png").write_bytes((photos / "Bag" / "1.png").read_bytes()[:200])
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    return tmp_path


def files(out):
    return [line.split("  ")[0] for line in out.splitlines()]


def test_a_line_for_each_picture(zoo, finished, photos):
    code, out, err = zoo("predict", finished.folder, photos)
    assert (code, err) == (0, "")
    assert files(out) == [str(p) for p in sorted(photos.rglob("*.png"))]
    assert all(re.fullmatch(r"\S+  \w[\w /-]* \d\.\d{4}", line) for line in out.splitlines())
    assert zoo("predict", finished.folder / "model", photos).out == out


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (["a.png", "b.PNG", "a.png"], ["a.png", "b.PNG", "a.png"]),
        (["[ab].*"], ["a.png", "b.PNG"]),
        (["*/../a.png"], ["folder.png/../a.png"]),
        (["./b.PNG", "a*"], ["b.PNG", "a.png"]),
    ],
)
def test_files_folders_and_globs_in_the_order_given(zoo, finished, mixed, paths, found):
    code, out, err = zoo("predict", finished.folder, *paths)
    assert (code, files(out), err) == (0, found, "")


def test_a_corrupt_picture_is_reported_and_the_rest_goes_on(zoo, finished, mixed):
    why = "bad.png: image file is truncated"
    for how in ([], ["--json"], ["--jsonl"]):
        code, out, err = zoo("predict", finished.folder, ".", *how)
        assert code == 1
        assert err.startswith(f"error: {why}") and err.count("\n") == 1
        if not how:
            assert files(out) == ["a.png", "b.PNG"]
            continue
        results = json.loads(out) if how == ["--json"] else [json.loads(line) for line in out.splitlines()]
        assert [r["file"] for r in results] == ["a.png", "b.PNG", "bad.png"]
        assert results[2].keys() == {"file", "error"}
        assert results[0]["classes"] == results[1]["classes"]
    assert zoo("predict", finished.folder, "notes.txt") == (
        1, "", "error: notes.txt: not an image that can be read\n",
    )  # fmt: skip


def test_more_classes_than_there_are_gives_all(zoo, finished, photos):
    code, out, _ = zoo("predict", finished.folder, photos / "Bag" / "0.png", "--top", "99", "--json")
    ((result,), written) = json.loads(out), json.loads((finished.folder / "metrics.json").read_text())
    assert code == 0
    assert {c["name"] for c in result["classes"]} == set(written["classes"])
    probabilities = [c["probability"] for c in result["classes"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-4)
    line = zoo("predict", finished.folder, photos / "Bag" / "0.png", "--top", "2").out
    best = "".join(f"  {c['name']} {c['probability']:.4f}" for c in result["classes"][:2])
    assert line == f"{result['file']}{best}\n"


SUFFIXES = ".bmp, .gif, .jpeg, .jpg, .pgm, .png, .ppm, .tif, .tiff, .webp"


@pytest.mark.parametrize("path", ["gone.png", "*.jpg", "folder.png", "[x]"])
def test_a_path_without_a_picture(zoo, finished, mixed, path):
    message = f"error: no picture at '{path}'. Give files, folders or globs ({SUFFIXES})\n"
    assert zoo("predict", finished.folder, "a.png", path) == (2, "", message)


def test_a_folder_that_is_no_model(zoo, finished, photos, tmp_path):
    assert zoo("predict", tmp_path / "x", photos) == (
        1, "", f"error: '{tmp_path / 'x'}' does not exist; name a run, a model folder or hf-hub:user/name.\n",
    )  # fmt: skip
    copy(finished.folder / "recipe.yaml", tmp_path)
    assert zoo("predict", tmp_path, photos) == (
        1, "", f"error: the run '{tmp_path}' is not finished, it has no model yet. Go on with it: zoo resume {tmp_path}\n",
    )  # fmt: skip


@pytest.fixture
def lights(tmp_path, monkeypatch):
    """A folder `photos` with one picture of a traffic light, in a folder of its class."""
    monkeypatch.chdir(tmp_path)
    image = Image.new("RGB", (224, 224), "black")
    draw = ImageDraw.Draw(image)
    for top, colour in ((20, "red"), (90, "#333300"), (160, "#003300")):
        draw.ellipse((92, top, 132, top + 40), fill=colour)
    folder = tmp_path / "photos" / TRAFFIC
    folder.mkdir(parents=True)
    image.save(folder / "1.png")
    return tmp_path


TRAFFIC = "traffic light, traffic signal, stoplight"


@pytest.mark.parametrize("name", ["lite0", "plugin:lite0", "zoo-lite:lite0"])
def test_a_pretrained_model_that_nobody_trained(zoo, lights, name):
    code, out, err = zoo("predict", name, "photos", "--top", "2", "--json")
    ((result,), names) = json.loads(out), {TRAFFIC, "spotlight, spot"}
    assert (code, err, {c["name"] for c in result["classes"]}) == (0, "", names)


def test_a_pretrained_model_is_measured_on_some_of_imagenets_classes(zoo, lights):
    (lights / "recipe.yaml").write_text("of another run")
    code, out, _ = zoo("evaluate", "lite0", "data.source=photos", "--json")
    found = json.loads(out)
    assert (code, found["images"], len(found["classes"]), found["top5"]) == (0, 1, 1000, 1.0)
    assert zoo("evaluate", "lite0") == (
        2, "", "error: 'lite0' is a model without a run; say what to evaluate on: data.source=PATH\n",
    )  # fmt: skip
    (lights / "photos" / TRAFFIC).rename(lights / "photos" / "lamp")
    assert zoo("evaluate", "lite0", "data.source=photos") == (
        1, "",
        "error: data.source: 'photos' has the class 'lamp', which the model's 1000 classes do not include. "
        "Evaluate on data of the model's own classes\n",
    )  # fmt: skip
