"""zoo doctor, of the installation and of data"""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from zoo.config.environment import PACKAGES
from zoo.data.image_store import cores
from zoo.plugins import installed
from zoo.verbs import doctor

SUBJECTS = ["versions", "device", "memory", "disk", "cache", "hub", "timm", "plugins"]


def test_a_finding_for_each_subject(zoo, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ZOO_PLUGINS", "")
    code, out, err = zoo("doctor", "--json")
    assert (code, err) == (0, "")
    found = {f["about"]: f for f in json.loads(out)}
    assert list(found) == SUBJECTS
    assert all(f["ok"] == (not f["advice"]) and f["found"] for f in found.values())
    assert [word.split()[0] for word in found["versions"]["found"].split(", ")] == ["python", *PACKAGES]
    assert found["versions"]["ok"] and found["cache"]["found"] == str(tmp_path / "cache")
    assert found["plugins"] | {"found": ""} == {"about": "plugins", "found": "", "ok": True, "advice": ""}


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("ZOO_CACHE", "{}/file", "ZOO_CACHE: '{}/file' is a file; name a folder"),
        ("ZOO_CACHE", "{}/file/sub", "it cannot be written: set ZOO_CACHE to a folder that can"),
        ("ZOO_CACHE_GB", "lots", "ZOO_CACHE_GB: expected a number of gigabytes, 0 or more, found 'lots'"),
    ],
)
def test_a_cache_that_cannot_be_used(name, value, advice, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(name, value.format(tmp_path))
    assert doctor._cache()["advice"] == advice.format(tmp_path)


def test_advice_stands_below_its_finding(zoo, install, monkeypatch):
    monkeypatch.setenv("ZOO_PLUGINS", "zoo-gone")
    install("zoo-gone", heads={"gone": "zoo_gone:head"})
    code, out, _ = zoo("doctor")
    lines = out.splitlines()
    assert code == 0
    assert [line[6:].split()[0] for line in lines if not line.startswith(" ")] == SUBJECTS
    parts = [p for p in installed() if p.kind != "recipe"]
    assert lines[-2] == f"look  plugins     {len(parts)} parts of {len({p.owner for p in parts})} distributions"
    assert lines[-1] == (
        "                  head 'gone' of zoo-gone 1.0 cannot be imported (zoo_gone:head): ModuleNotFoundError: "
        "No module named 'zoo_gone'. Fix it or leave it out: pip uninstall zoo-gone"
    )


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """24 cats and 6 owls, 40 to 63 px wide, of which 3 need a look."""
    folder = tmp_path / "pictures"
    for name, count in (("cat", 24), ("owl", 6)):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            picture = Image.effect_noise((40 + i, 30), 60).convert("RGB")
            picture.putpixel((0, 0), (i, count, 0))
            picture.save(folder / name / f"{i}.jpg", quality=95)
    broken, twin, odd = folder / "cat" / "3.jpg", folder / "owl" / "1.jpg", folder / "cat" / "5.jpg"
    broken.write_bytes(broken.read_bytes()[:-200])
    twin.write_bytes((folder / "cat" / "1.jpg").read_bytes())
    Image.new("RGBA", (90, 90), "red").save(odd, "PNG")
    return folder


def test_data_are_told_as_fine_tuning_reads_them(zoo, pictures):
    code, out, err = zoo("doctor", "--data", pictures, "data.image_size=16", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["source"], found["image_size"]) == (str(pictures), 16)
    assert found["splits"] == {
        "train": {"images": 24, "from": "train"},
        "validation": {"images": 3, "from": "train, stratified 0.1, seed 2"},
        "test": {"images": 3, "from": "train, stratified 0.1, seed 1"},
    }
    assert {name: sum(counts.values()) for name, counts in found["classes"].items()} == {"cat": 24, "owl": 6}
    assert found["imbalance"] == found["classes"]["cat"]["train"] / found["classes"]["owl"]["train"]
    assert (found["sample"], found["kinds"]) == (30, {"JPEG RGB": 28, "PNG RGBA": 1})
    assert (found["sizes"]["smallest"], found["sizes"]["largest"]) == ([40, 30], [90, 90])
    assert found["unreadable"].keys() == {str(pictures / "cat" / "3.jpg")}
    assert found["suspicious"].keys() > {str(pictures / "cat" / "5.jpg")}
    assert found["suspicious"][str(pictures / "cat" / "5.jpg")] == "one colour all over"
    twin = (set(found["suspicious"]) - {str(pictures / "cat" / "5.jpg")}).pop()
    assert Path(twin).name == "1.jpg" and "1.jpg (" in found["suspicious"][twin]
    assert found["decoding"]["cores"] == cores()
    assert min(found["decoding"][key] for key in ("one_thread", "all_cores")) > 0
    assert found["memory"]["bytes"] == 27 * 3 * 16 * 16
    assert found["memory"]["held"] is True
    assert found["advice"].keys() == {"unreadable", "suspicious"}


def test_data_fit_on_one_screen(zoo, pictures):
    code, out, err = zoo("doctor", "--data", pictures, "data.image_size=64", "data.in_memory=false")
    assert (code, err) == (0, "")
    lines = [re.sub(r"[\d,.]+ (images/s|with|[MG]B)", r"N \1", line) for line in out.splitlines()]
    told = [
        line for line in lines if "suspicious" not in line and "unreadable" not in line and "validation" not in line
    ]
    assert told[:5] == [
        f"ok    data        {pictures} at 64 px",
        "ok    train       24 images, from train",
        "ok    test        3 images, from train, stratified 0.1, seed 1",
        "ok    classes     2: cat 20, owl 4 training images; imbalance 5",
        told[4],
    ]
    assert re.fullmatch(
        r"ok    pictures    \d+ x 30 px \(median\), 40 x 30 to 90 x 90, blown up; all of them looked at", told[4]
    )
    assert told[5] == "ok    files       JPEG RGB (28), PNG RGBA (1)"
    unreadable = next(line for line in lines if "unreadable" in line)
    assert re.fullmatch(
        r"look  unreadable  1: .*/cat/3.jpg: image file is truncated \(\d+ bytes not processed\)", unreadable
    )
    assert f"ok    decoding    N images/s with one thread, N with {cores()} cores" in lines
    memory = next(line for line in lines if "memory" in line)
    assert memory.startswith("look  memory      N MB of N GB free: not held, so decoded anew in each epoch (about ")
    assert len(lines) <= 20


def test_a_recipes_data_by_its_name(zoo):
    code, out, _ = zoo("doctor", "--data", "quickstart", "data.limit=60")
    assert code == 0
    assert "ok    data        sample:fashion-mnist at 64 px" in out.splitlines()
    assert "ok    classes     10: Trouser 6 to Ankle boot 6 training images; imbalance 1" in out.splitlines()
    assert "ok    pictures    all 28 x 28 px, blown up; all of them looked at" in out.splitlines()
    assert "ok    unreadable  none" in out.splitlines()


def test_without_an_image_size_the_backbones_own_counts(zoo, pictures):
    size = json.loads(zoo("doctor", "--data", pictures, "--json", "model.backbone=test_resnet").out)["image_size"]
    assert size == 160
    assert json.loads(zoo("doctor", "--data", pictures, "--json").out)["image_size"] == 224


def test_small_classes_and_names_that_yaml_would_misread(zoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, count in (("a", 40), ("b", 4)):
        Path("2024", name).mkdir(parents=True)
        for i in range(count):
            Image.effect_noise((20, 20), 60).save(Path("2024", name, f"{i}.png"))
    code, out, _ = zoo("doctor", "--data", "2024", "data.image_size=8")
    assert code == 0
    assert "look  classes     2: a 34, b 2 training images; imbalance 17" in out.splitlines()
    assert "                  accuracy hides the small classes: train.best_by=macro_f1 counts each class alike" in out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("--data quickstrt", 2, "unknown recipe or folder 'quickstrt'. Did you mean 'quickstart'? "
         "Recipes: zoo list recipes; a folder: ./NAME"),
        ("--data sample:fashion", 2, "unknown sample 'fashion'. Did you mean 'fashion-mnist'?"),
        ("--data quickstart data.limt=9", 2, "command line: data.limt: unknown key. Did you mean 'limit'?"),
        ("--data ./nowhere", 1, "data.source: there is no folder './nowhere'. Name local data with data.source=PATH "
         "(images in one folder per class, parquet files, or a CSV file of image paths), or run the recipe quickstart, whose data is installed"),
        ("--data none.yaml", 2, "no recipe file 'none.yaml'. A recipe is a name (zoo list recipes) or a YAML file's path"),
        ("data.limit=9", 2, "'data.limit=9' goes with --data only. See zoo doctor --help"),
    ],
    ids=["recipe", "sample", "key", "folder", "file", "no data"],
)  # fmt: skip
def test_wrong_data_are_one_line(zoo, words, code, message):
    assert zoo("doctor", *words.split()) == (code, "", f"error: {message}\n")
