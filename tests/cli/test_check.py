"""zoo check"""

import json

import pytest

from zoo.config.catalog import recipes

BAD = """model:
  backbone: desnet121
  head: {name: mlpp}
data:
  source: x
  limt: 3
schedule: {name: two-stage, head_epoch: 1}
train: {epochs: no}
"""
FAULTS = (
    "bad.yaml:6: data.limt: unknown key. Did you mean 'limit'?",
    "bad.yaml:8: train.epochs: expected a valid integer, found 'no'",
    "bad.yaml:3: model.head.name: unknown head 'mlpp'. Did you mean 'mlp'? See them all: zoo list heads",
    "bad.yaml:7: schedule.head_epoch: unknown option of schedule 'two-stage' (has: head_epochs, head_lr_scale). "
    "Did you mean 'head_epochs'?",
    "bad.yaml:2: model.backbone: unknown backbone 'desnet121'. Did you mean 'densenet121'? "
    "See them all: zoo list backbones",
)


@pytest.fixture(autouse=True)
def bad(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text(BAD)


@pytest.mark.parametrize("name", [r.name for r in recipes()])
def test_shipped_recipes_have_no_faults(zoo, name):
    assert zoo("check", name) == (0, f"{name}: no faults\n", "")
    assert json.loads(zoo("check", name, "--json").out) == {"recipe": name, "ok": True, "faults": []}


def test_all_faults_at_once(zoo):
    assert zoo("check", "bad.yaml") == (2, "", "".join(f"error: {fault}\n" for fault in FAULTS))
    code, out, err = zoo("check", "bad.yaml", "--json")
    assert (code, err) == (2, "")
    assert json.loads(out) == {"recipe": "bad.yaml", "ok": False, "faults": list(FAULTS)}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("bad.yml", "no recipe file 'bad.yml'. A recipe is a name (zoo list recipes) or a YAML file's path"),
        ("quickstart limit", "'limit' is not an override. Write key=value, as in data.limit=512"),
        ("quickstart data.limit=0", "command line: data.limit: expected greater than or equal to 1, found 0"),
        (
            "quickstart train.epochs=[",
            "command line: train.epochs: not YAML: expected the node content, but found '<stream end>'",
        ),
    ],
)
def test_overrides_and_paths(zoo, words, message):
    assert zoo("check", *words.split()) == (2, "", f"error: {message}\n")
