"""Tables of image paths: text stays text, every fault has its line, and nothing outside the file's folder is opened."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, List, Value
from PIL import Image

from zoo.config.recipe import Data, Splits
from zoo.data.columns import image_column, label_columns
from zoo.data.sources import open_source
from zoo.errors import DataError, UnknownName


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images in `pets`, one of them with the suffix in capitals, and one in the folder itself."""
    (tmp_path / "set" / "pets").mkdir(parents=True)
    for name in ("pets/a.png", "pets/b.JPG", "c.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / "set" / name)
    return tmp_path / "set"


Write = Callable[..., Path]


@pytest.fixture
def write(folder: Path) -> Write:
    """write(text, name): a file in the folder, in UTF-8 unless `text` is bytes."""

    def make(text: str | bytes, name: str = "labels.csv") -> Path:
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return folder / name

    return make


def opened(path: Path, **data: Any) -> dict[str, Dataset]:
    return open_source(Data(source=str(path), **data))


def values(path: Path, column: str = "label", **data: Any) -> list[Any]:
    return opened(path, **data)["train"][column][:]


def test_paths_are_relative_to_the_file_and_no_image_is_opened(
    write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("file_name,label\npets/a.png,cat\nc.png,dog\n")
    (folder / "c.png").write_bytes(b"no picture")
    monkeypatch.chdir(folder.parent)
    train = opened(Path("set/labels.csv"))["train"]
    assert train["file_name"][:] == [{"bytes": None, "path": p} for p in ("set/pets/a.png", "set/c.png")]
    assert (image_column(train, None), label_columns(train, None)) == ("file_name", ["label"])
    assert train.features["label"] == Value("string")
    assert path.exists()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("image,label\nc.png,007\npets/a.png,NA\npets/b.JPG,None\n", "labels.csv"),
        ("\ufeffimage,label\nc.png,007\npets/a.png,NA\npets/b.JPG,None\n", "labels.csv"),
        ("image;label\nc.png;007\npets/a.png;NA\npets/b.JPG;None\n", "labels.csv"),
        ("image\tlabel\r\nc.png\t007\r\npets/a.png\tNA\r\npets/b.JPG\tNone\r\n", "labels.csv"),
        ("image\tlabel\nc.png\t007\npets/a.png\tNA\npets/b.JPG\tNone\n", "labels.TSV"),
        ("\nimage , label\nc.png, 007\n\npets/a.png,  NA\npets/b.JPG,None\n,\n", "labels.csv"),
        (",image,label\n0,c.png,007\n1,pets/a.png,NA\n2,pets/b.JPG,None\n", "labels.csv"),
        (
            '{"image": "c.png", "label": "007"}\n\n{"label": "NA", "image": "pets/a.png"}\n'
            '{"image": "pets/b.JPG", "label": "None"}',
            "labels.jsonl",
        ),
    ],
)
def test_labels_stay_text(text: str, name: str, write: Write) -> None:
    train = opened(write(text, name))["train"]
    assert train["label"][:] == ["007", "NA", "None"]
    assert train.column_names == ["image", "label"]


def test_blank_cells_are_none_and_quoted_ones_hold_delimiters(write: Write) -> None:
    assert values(write('image,label,note\nc.png,"cat, black",\npets/a.png,,"two\nlines"\n')) == ["cat, black", None]


def test_json_lines_hold_other_values_as_text_and_lists(write: Write) -> None:
    rows = [
        {"image": "c.png", "label": 7, "tags": ["a", 1], "sure": True},
        {"image": "pets/a.png", "label": 0.5, "tags": []},
    ]
    train = opened(write("\n".join(map(json.dumps, rows)), "labels.ndjson"))["train"]
    assert train["label"][:] == ["7", "0.5"]
    assert train["sure"][:] == ["true", None]
    assert (train["tags"][:], train.features["tags"]) == ([["a", "1"], []], List(Value("string")))


def test_images_without_a_suffix_are_found(write: Write, folder: Path) -> None:
    found = values(write("image_id,label\npets/a,x\npets/b,y\nc.png,z\n"), "image_id")
    assert [r["path"] for r in found] == [str(folder / name) for name in ("pets/a.png", "pets/b.JPG", "c.png")]


@pytest.mark.parametrize(
    ("text", "splits", "found"),
    [
        ("image,label,split\nc.png,x,train\npets/a.png,y,val\npets/b.JPG,y,train\n", {}, {"train": 2, "val": 1}),
        (
            "fname,labels,is_valid\nc.png,x,False\npets/a.png,y,True\npets/b.JPG,y,0\n",
            {},
            {"train": 2, "validation": 1},
        ),
        ("image,label,split\nc.png,x,mine\npets/a.png,y,theirs\n", {"train": "mine"}, {"mine": 1, "theirs": 1}),
        ("image,label,split\nc.png,x,left\npets/a.png,y,right\n", {}, {"train": 2}),
    ],
)
def test_a_column_says_the_split(text: str, splits: dict[str, str], found: dict[str, int], write: Write) -> None:
    opens = opened(write(text), splits=Splits(**splits))
    assert {name: len(split) for name, split in opens.items()} == found
    gone = {"split", "is_valid"} & set(next(iter(opens.values())).column_names)
    assert gone == ({"split"} if found == {"train": 2} else set())


def test_columns_are_named(write: Write) -> None:
    train = opened(write("image,thumb,species\nc.png,pets/a,cat\n"), image_column="thumb")["train"]
    assert label_columns(train, "species") == ["species"]
    assert train["thumb"][0]["path"].endswith("pets/a.png")


def test_blank_cells_are_no_label_where_cells_hold_several(write: Write) -> None:
    path = write("image,labels\nc.png,a;b\npets/a.png,\n")
    assert values(path, "labels") == ["a;b", None]
    assert values(path, "labels", label_delimiter=";") == ["a;b", ""]


def test_a_column_with_another_role_does_not_say_the_split(write: Write) -> None:
    path = write("image,label,split\nc.png,x,train\npets/a.png,y,val\n")
    assert list(opened(path, group_column="split")) == ["train"]
    assert list(opened(path, label_column=["label", "split"])) == ["train"]


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("image,label\nc.png,caf\xe9\n".encode("latin-1"), "labels.csv",
            "'PATH' is not UTF-8 text (byte 0xe9 on line 2). Save it as UTF-8"),
        ("image,label\nc.png,cat\nc.png,cat,x\n", "labels.csv",
            "line 3 of 'PATH' has 3 cells, but the first line names 2 columns, with the delimiter ','. "
            "Quote cells that hold it: \"a,b\""),
        ('image;label\n"c\n.png";cat\nc.png\n', "labels.csv",
            "line 4 of 'PATH' has 1 cells, but the first line names 2 columns, with the delimiter ';'. "
            "Quote cells that hold it: \"a;b\""),
        ('image,label\nc.png,cat\n"c.png,cat\nc.png,dog\n', "labels.csv",
            "line 3 of 'PATH' cannot be read: unexpected end of data. Mend its quotes"),
        ("image,label,label\nc.png,cat,dog\n", "labels.csv",
            "the first line of 'PATH' names the column 'label' twice. Rename one"),
        ("image,label\n", "labels.csv", "'PATH' holds no rows. Fill it or name another file"),
        ("", "labels.tsv", "'PATH' holds no rows. Fill it or name another file"),
        ("image,label\nc.png,cat\n,dog\n", "labels.csv",
            "line 3 of 'PATH' names no image. Fill or remove the row"),
        ("image,label\nx/1.png,a\nc.png,b\n2,a\n3.png,a\npets,b\n", "labels.csv",
            "4 of 5 images that 'PATH' names do not exist, first 'x/1.png', '2', '3.png'. "
            "Paths are relative to the folder 'FOLDER'"),
        ("image,label,split\nc.png,cat,train\nc.png,cat,\n", "labels.csv",
            "line 3 of 'PATH' has None in the column 'split', expected a split. Fill the cell, or rename the column"),
        ("image,label,is_valid\nc.png,cat,maybe\n", "labels.csv",
            "line 2 of 'PATH' has 'maybe' in the column 'is_valid', expected true or false. "
            "Fill the cell, or rename the column"),
        ('{"image": "c.png"}\n{"image": }\n', "labels.jsonl", "line 2 of 'PATH' is not JSON: Expecting value"),
        ('["c.png"]\n', "labels.jsonl",
            "line 1 of 'PATH' is no JSON object. Write each row as {\"image\": ..., \"label\": ...}"),
        ('{"image": "c.png", "tags": ["a"]}\n{"image": "c.png", "tags": "b"}', "labels.jsonl",
            "the column 'tags' of 'PATH' holds lists, but line 2 has 'b'. Write ['b']"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file(text: str | bytes, name: str, message: str, write: Write, folder: Path) -> None:
    path = write(text, name)
    with pytest.raises(DataError) as problem:
        opened(path)
    expected = message.replace("PATH", str(path)).replace("FOLDER", str(folder))
    assert str(problem.value) == f"data.source: {expected}"


@pytest.mark.parametrize(
    "name", ["../set/c.png", "pets/../c.png", "/etc/hostname", "ABSOLUTE", "link.png", "out/x.png"]
)
def test_nothing_outside_the_folder_is_named(name: str, write: Write, folder: Path) -> None:
    (folder.parent / "else").mkdir()
    Image.new("RGB", (8, 8)).save(folder.parent / "else" / "x.png")
    (folder / "link.png").symlink_to(folder.parent / "else" / "x.png")
    (folder / "out").symlink_to(folder.parent / "else")
    name = str(folder / "c.png") if name == "ABSOLUTE" else name
    path = write(f"image,label\nc.png,a\n{name},b\n")
    with pytest.raises(DataError) as problem:
        opened(path)
    assert str(problem.value) == (
        f"data.source: line 3 of '{path}' names '{name}', which leads out of the folder '{folder}'. "
        f"Write paths relative to the file, and keep the images below its folder"
    )


def test_links_inside_the_folder_are_followed(write: Write, folder: Path) -> None:
    (folder / "again.png").symlink_to("c.png")
    (folder / "more").symlink_to("pets")
    (folder.parent / "elsewhere").symlink_to(folder)
    write("image,label\nagain,a\nmore/a,b\n")
    assert len(values(folder.parent / "elsewhere" / "labels.csv")) == 2


def test_a_name_that_several_files_fit(write: Write, folder: Path) -> None:
    Image.new("RGB", (8, 8)).save(folder / "c.gif")
    path = write("image,label\nc,a\n")
    with pytest.raises(DataError, match=r"line 2 of '.*' names 'c', which may be c\.gif or c\.png\. Write the suffix"):
        opened(path)


def test_missing_folders_and_odd_names_are_images_that_do_not_exist(write: Write) -> None:
    with pytest.raises(DataError, match=r"3 of 3 images that"):
        opened(write(f"image,label\nno/a.png,a\nc.png/x,b\n{'x' * 300}/y,b\n"))


def test_image_columns_that_cannot_be_told(write: Write) -> None:
    path = write("c.png,cat\npets/a.png,dog\n")
    with pytest.raises(DataError) as problem:
        opened(path)
    assert str(problem.value) == (
        f"data.image_column: '{path}' has no column of image paths (image, file, file_name, filename, path, image_path, "
        "image_id, fname), but the columns c.png, cat, as its first line says. Name it: data.image_column=NAME"
    )
    path = write("Image,path,label\nc.png,c.png,x\n")
    with pytest.raises(
        DataError, match=r"has several columns that may hold image paths \(Image, path; columns: Image, "
    ):
        opened(path)
    with pytest.raises(UnknownName, match=r"unknown column in data\.image_column 'pat'\. Did you mean 'path'\?"):
        opened(path, image_column="pat")
