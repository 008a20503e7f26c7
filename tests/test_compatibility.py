"""timm whole: a sample of architectures under every head and schedule, and the written table of all of them."""

import csv
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from compatibility import SUMMARY, exceptions, main, read_rows, reason
from compatibility_checks import columns, examine, freezing_fault, group_fault, order_fault, run_for_real, wrong_mode
from small import classifier

from zoo.contracts import HEAD, Phase
from zoo.models.param_groups import parameter_groups
from zoo.plugins import OWN, installed
from zoo.timm_index import timm_models

TOOLS = Path(__file__).parents[1] / "tools"
SAMPLE = {  # name: what is particular about it
    "resnet18": "a plain convolutional network",
    "vgg11": "fully connected layers before the classifier",
    "densenet121": "every layer feeds all that follow",
    "mobilenetv3_small_050": "a convolution between pooling and classifier",
    "inception_v3": "branches",
    "convnext_atto": "a norm inside the head",
    "test_vit": "a class token",
    "deit_tiny_distilled_patch16_224": "two classifiers",
    "swin_tiny_patch4_window7_224": "NHWC maps",
    "levit_128s": "BatchNorm1d, and a class of norm and linear layer",
    "xcit_nano_12_p16_224": "a fixed size",
    "mixer_s32_224": "a fixed size and no class token",
    "crossvit_tiny_240": "two feature maps and two classifiers",
    "coat_tiny": "five feature maps",
    "efficientvim_m1": "a list of feature maps",
    "efficientvit_m0": "a classifier that cannot be asked for once it is gone",
    "poolformer_s12": "no group_matcher",
    "rdnet_tiny": "a coarse group_matcher that fails",
    "dla34": "a convolution as classifier",
    "nextvit_small": "BatchNorm1d next to BatchNorm2d",
    "gemma4_vit_167m_enc": "an encoder without classifier, that needs numbers",
}

SEVERAL, LAST = "several classifiers: group head holds them all", "several feature maps: heads read the last"
NOTES = {
    "deit_tiny_distilled_patch16_224": SEVERAL,
    "levit_128s": SEVERAL,
    "crossvit_tiny_240": f"{SEVERAL}; {LAST}",
    "coat_tiny": LAST,
    "efficientvim_m1": f"{SEVERAL}; {LAST}",
    "gemma4_vit_167m_enc": "no classifier of its own: head linear is the zoo's, on pooled features",
}


@pytest.mark.parametrize("name", SAMPLE)
def test_a_sample_works_with_every_head_and_schedule(name: str) -> None:
    row = examine(name)
    assert list(row) == columns()
    parts = {f"{kind} {p.name}" for kind in ("head", "schedule") for p in installed(kind)}
    assert parts <= row.keys() and all(row[part] for part in parts)
    assert [(column, text) for _, column, text in exceptions([row]) if not reason(text)] == []
    assert int(row["groups"]) >= 3 and int(row["parameters"]) > 0 and row["features"]
    assert row["note"] == NOTES.get(name, "")


def test_real_numbers_too() -> None:
    assert [run_for_real(name) for name in ("test_resnet", "test_vit", "test_convnext")] == ["ok"] * 3


def test_an_architecture_that_fails_is_a_row_with_its_message(install: Callable) -> None:
    files = {
        "zoo_odd.py": "def odd(features, num_classes):\n    raise KeyError('lost')\n"
        "def short(groups, epochs):\n    return ()\n"
    }
    install("zoo-odd", heads={"odd": "zoo_odd:odd"}, schedules={"short": "zoo_odd:short"}, files=files)
    row = examine("test_resnet")
    assert row["head odd"] == "head 'odd' of zoo-odd 1.0 failed with KeyError: 'lost'"
    assert row["schedule short"].startswith("schedule 'short' of zoo-odd 1.0 planned 0 epochs")
    assert row["head linear"] == row["grouping"] == row["freezing"] == "ok"


def test_the_checks_see_what_is_broken() -> None:
    model = classifier(head="mlp")
    groups = parameter_groups(model, 32)
    assert group_fault(model, groups, 32) == ""
    first, *rest = groups["stage1"]
    assert group_fault(model, {**groups, "stage1": tuple(rest)}, 32) == f"{first} is in no group"
    assert group_fault(model, {**groups, "stage2": (*groups["stage2"], first)}, 32) == f"{first} is in 2 groups"
    assert group_fault(model, {**groups, "stage2": ()}, 32) == "group stage2 is empty"
    swapped = {**groups, "stage1": groups["stage2"], "stage2": groups["stage1"]}
    assert order_fault(model, groups, 32) == ""
    assert order_fault(model, swapped, 32).startswith("groups are met in the order stem, stage2, stage1")

    assert freezing_fault(model, groups, [Phase(1, (HEAD,)), Phase(1, tuple(groups))]) == ""
    model.requires_grad_(False).train()
    model.head.requires_grad_(True)
    assert wrong_mode(model, False) == "backbone is frozen and in train mode"
    model.backbone.eval()
    assert wrong_mode(model, False) == ""
    norm = next(name for name, m in model.backbone.named_modules() if isinstance(m, torch.nn.BatchNorm2d))
    model.backbone.get_submodule(norm).train()
    assert wrong_mode(model, False) == f"backbone.{norm} is frozen and in train mode"


def test_the_command_prints_what_it_walks() -> None:
    command = [sys.executable, TOOLS / "compatibility.py", "test_res*", "--sample", "1"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    (row,) = csv.DictReader(done.stdout.splitlines())
    assert row["architecture"] == "test_resnet" and row["head linear"] == "ok"
    assert "1 architectures, 0 exceptions without a reason" in done.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["test_res*", "--write"], "--write is for the whole walk"),
        (["--sample", "3", "--write"], "--write is for the whole walk"),
        (["--rest"], "--rest goes on with the table"),
        (["no such*"], "no architecture of timm matches 'no such*'"),
    ],
)
def test_what_the_command_refuses(words: list[str], text: str) -> None:
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2 and text in result.output


@pytest.fixture
def rows() -> list[dict[str, str]]:
    """The written table, of this timm."""
    if not SUMMARY.is_file():
        count = f"{len(read_rows())} of {len(timm_models())} architectures"
        pytest.skip(f"the walk is at {count}; go on with: python tools/compatibility.py --rest --forward --write")
    written = re.search(r"timm (\d[\w.]*)", SUMMARY.read_text(encoding="utf-8"))[1]
    if written != version("timm"):
        pytest.skip(f"the table is of timm {written}, installed is {version('timm')}")
    return read_rows()


def test_the_table_names_every_architecture_head_and_schedule(rows: list[dict[str, str]]) -> None:
    assert tuple(row["architecture"] for row in rows) == timm_models()
    own = {f"{kind} {p.name}" for kind in ("head", "schedule") for p in installed(kind) if p.owner == OWN}
    assert own <= rows[0].keys(), "run: python tools/compatibility.py --forward --write"
    assert {row["family"] for row in rows} == {row["family"] for row in rows if row["forward"]}


def test_every_exception_in_the_table_is_explained_in_a_sentence(rows: list[dict[str, str]]) -> None:
    summary = SUMMARY.read_text(encoding="utf-8")
    for row, column, text in exceptions(rows):
        why = reason(text)
        assert why and why.endswith(".") and f"**{why}**" in summary, f"{row['architecture']}: {column}: {text}"
        assert "uncaught" not in text and f"| `{row['architecture']}` | " in summary
