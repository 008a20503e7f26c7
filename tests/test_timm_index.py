import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import timm

from zoo.timm_index import cache_folder, timm_models, timm_optimizers

index = timm_models.__wrapped__
"""The index as a new process would make it."""
STORED = f"timm-{version('timm')}.json"


def timms_own() -> list[str]:
    """What timm registers itself, without what plugins that earlier tests imported have added."""
    return sorted(n for n in timm.list_models() if timm.model_entrypoint(n).__module__.startswith("timm."))


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_it_is_what_timm_lists(folder):
    assert sorted(index()) == timms_own()
    assert index() == tuple(sorted(index()))


def test_it_is_kept_and_read_again(folder):
    first = index()
    assert [path.name for path in folder.iterdir()] == [STORED]
    assert json.loads((folder / STORED).read_text()) == list(first)
    (folder / STORED).write_text('["only"]')
    assert index() == ("only",)


@pytest.mark.parametrize("content", [b"", b'["resnet18"', b"\xff", b"null", b"[]", b'{"a": 1}', b'"abc"', b"[1]", b"3"])
def test_a_damaged_cache_is_made_anew(folder, content):
    folder.mkdir()
    (folder / STORED).write_bytes(content)
    assert "resnet18" in index()
    assert "resnet18" in json.loads((folder / STORED).read_text())


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_cache_that_cannot_be_written_is_no_fault(tmp_path, monkeypatch, place):
    (tmp_path / "file").write_text("here is a file already")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / place))
    assert "resnet18" in index()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_where_the_index_should_be_is_no_fault(folder):
    (folder / STORED).mkdir(parents=True)
    assert "resnet18" in index()
    assert [path.name for path in folder.iterdir()] == [STORED]  # and no part of a file is left


@pytest.mark.parametrize(("given", "expected"), [("/some/where", "/some/where"), ("", "home/.cache/timm-zoo")])
def test_where_the_cache_is(tmp_path, monkeypatch, given, expected):
    monkeypatch.setenv("ZOO_CACHE", given)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / expected


def test_torch_is_not_imported(folder):
    code = (
        "import sys; from zoo.timm_index import timm_models as m; print(len(m()), {'torch', 'timm'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == f"{len(timms_own())} set()\n"


def test_optimisers_are_what_timm_lists():
    import timm.optim

    assert list(timm_optimizers().items()) == timm.optim.list_optimizers(with_description=True)
