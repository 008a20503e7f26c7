"""zoo cache"""

import json

import numpy as np

from zoo.storage import feature_cache


def add(key: str) -> None:
    with feature_cache.adding(
        key, 400, {"backbone": "resnet18", "read": "layer3", "images": 25, "size": 64, "precision": "fp32"}
    ) as path:
        np.save(path, np.ones((25, 4), np.float32))


def test_the_cache_as_a_table_as_json_and_cleared(zoo, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    monkeypatch.setenv("ZOO_CACHE_GB", "1")
    assert zoo("cache") == (0, "", f"0 entries, 0.0 MB of at most 1,000, in {tmp_path}/features\n")
    add("0123456789abcdef")
    code, out, err = zoo("cache")
    assert code == 0 and out.split()[:6] == ["resnet18", "layer3", "25", "64", "fp32", "0.0"]
    assert out.split()[-1] == "0123456789ab"
    code, out, err = zoo("cache", "--json")
    said = json.loads(out)
    assert (code, err, said["budget_bytes"], said["folder"]) == (0, "", 10**9, f"{tmp_path}/features")
    assert [entry["key"] for entry in said["entries"]] == ["0123456789abcdef"]
    assert [entry["bytes"] for entry in said["entries"]] == [128 + 25 * 4 * 4]
    assert zoo("cache", "clear") == (0, "0.0 MB are free again\n", "")
    assert json.loads(zoo("cache", "clear", "--json").out) == {"freed_bytes": 0}


def test_wrong_use(zoo, monkeypatch):
    code, _, err = zoo("cache", "empty")
    assert (code, err) == (
        2,
        "error: Invalid value for '[list|clear]': 'empty' is not one of 'list', 'clear'. See zoo cache --help\n",
    )
    monkeypatch.setenv("ZOO_CACHE", __file__)
    assert zoo("cache") == (2, "", f"error: ZOO_CACHE: '{__file__}' is a file; name a folder\n")
    monkeypatch.setenv("ZOO_CACHE_GB", "lots")
    monkeypatch.delenv("ZOO_CACHE")
    code, _, err = zoo("cache")
    assert (code, err) == (2, "error: ZOO_CACHE_GB: expected a number of gigabytes, 0 or more, found 'lots'\n")
