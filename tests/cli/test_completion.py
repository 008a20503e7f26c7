"""zoo completion"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_the_shell_reads(zoo, shell):
    code, script, err = zoo("completion", shell)
    assert (code, err) == (0, "")
    assert f"_ZOO_COMPLETE={shell}_complete" in script
    assert json.loads(zoo("completion", shell, "--json").out) == {"shell": shell, "script": script[:-1]}
    if shutil.which(shell):
        done = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("zoo re", ["resume", "reproduce"]),
        ("zoo finetune --recipe cifar10-v", ["cifar10-vgg", "cifar10-vit"]),
        ("zoo finetune -r quickstart data.augment.m", ["data.augment.min_scale=", "data.augment.mixup="]),
        ("zoo list sch", ["schedules"]),
        ("zoo guide tr", ["transfer", "training"]),
        ("zoo completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_what_is_offered(typed, offered):
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1), "_ZOO_COMPLETE": "bash_complete"}
    command = Path(sys.executable).with_name("zoo")
    done = subprocess.run([command], env={**os.environ, **words}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [f"plain,{word}" for word in offered]
