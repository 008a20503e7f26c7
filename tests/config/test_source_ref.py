"""One text, one meaning: which kind of source `data.source` names, in whichever folder it is read."""

from pathlib import Path

import pytest

from zoo.config.source_ref import SourceRef


@pytest.mark.parametrize(
    ("text", "kind", "place"),
    [
        ("sample:fashion-mnist", "sample", "fashion-mnist"),
        ("plugin:zoo-pets:pets", "plugin", "zoo-pets:pets"),
        ("hub:me/pets", "hub", "me/pets"),
        ("path:me/pets", "path", "me/pets"),
        ("me/pets", "hub", "me/pets"),
        ("mnist", "hub", "mnist"),
        ("data/labels.csv", "path", "data/labels.csv"),
        ("Labels.TSV", "path", "Labels.TSV"),
        ("train.jsonl", "path", "train.jsonl"),
        ("me/pets.parquet", "path", "me/pets.parquet"),
        ("hub:me/pets.csv", "hub", "me/pets.csv"),
        ("../data", "path", "../data"),
        ("/data/pets", "path", "/data/pets"),
        ("a/b/c", "path", "a/b/c"),
        ("no spaces", "path", "no spaces"),
        ("", "path", ""),
    ],
)
def test_what_a_text_means_where_nothing_is(text: str, kind: str, place: str, tmp_path: Path) -> None:
    recorded = SourceRef.recorded(text)
    assert (recorded.kind, recorded.place, recorded.exists) == (kind, place, False)
    typed = SourceRef.parse(text, tmp_path / "empty")
    assert (typed.kind, typed.exists) == (kind, False)
    assert typed.absolute() == text
    assert typed.is_hub == (kind == "hub")


def test_what_exists_goes_before_the_hub(tmp_path: Path) -> None:
    (tmp_path / "me" / "pets").mkdir(parents=True)
    assert SourceRef.parse("me/pets", tmp_path).kind == "path"
    assert SourceRef.parse("hub:me/pets", tmp_path).kind == "hub"
    assert SourceRef.parse("me/pets", tmp_path / "me").kind == "hub"
    assert SourceRef.recorded("me/pets").hub_id == "me/pets"


def test_existence_is_decided_once(tmp_path: Path) -> None:
    folder = tmp_path / "me" / "pets"
    folder.mkdir(parents=True)
    ref = SourceRef.parse("me/pets", tmp_path)
    folder.rmdir()
    assert (ref.kind, ref.exists, ref.absolute()) == ("path", True, str(folder))


@pytest.mark.parametrize("name", ["photos", "labels.csv"])
def test_folders_and_files_are_recorded_absolutely(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).mkdir() if name == "photos" else (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)
    for text in (name, f"./{name}", f"path:{name}"):
        ref = SourceRef.parse(text)
        assert ref.absolute() == str(tmp_path / name)
        assert SourceRef.recorded(ref.absolute()).is_same(ref)


def test_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "photos").mkdir()
    assert SourceRef.parse("~/photos").absolute() == str(tmp_path / "photos")
    assert SourceRef.recorded("~/photos").is_same(SourceRef.parse(str(tmp_path / "photos")))


@pytest.mark.parametrize(
    ("text", "shown", "hub_id"),
    [
        ("/home/ann/photos", "photos", None),
        ("/home/ann:x/labels.csv", "labels.csv", None),
        ("data/labels.csv", "labels.csv", None),
        ("me/pets", "me/pets", "me/pets"),
        ("hub:me/pets", "me/pets", "me/pets"),
        ("mnist", "mnist", None),
        ("sample:fashion-mnist", "sample:fashion-mnist", None),
        ("plugin:pets", "plugin:pets", None),
    ],
)
def test_what_a_card_says(text: str, shown: str, hub_id: str | None) -> None:
    ref = SourceRef.recorded(text)
    assert (ref.shown(), ref.hub_id) == (shown, hub_id)


def test_different_kinds_are_never_the_same(tmp_path: Path) -> None:
    (tmp_path / "me" / "pets").mkdir(parents=True)
    assert not SourceRef.parse("me/pets", tmp_path).is_same(SourceRef.recorded("me/pets"))
    assert SourceRef.recorded("hub:me/pets").is_same(SourceRef.recorded("me/pets"))
    assert not SourceRef.recorded("me/pets").is_same(SourceRef.recorded("me/cats"))
