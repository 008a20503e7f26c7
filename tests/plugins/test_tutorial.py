"""The tutorial's plugin is what `zoo plugin new` writes and the tutorial shows, and nothing else."""

import re
import subprocess
from pathlib import Path

import pytest
import zoo_tutorial.backbone
import zoo_tutorial.head
import zoo_tutorial.schedule
from small import classifier, images, logits

from zoo.models.param_groups import parameter_groups
from zoo.plugins import find
from zoo.verbs.new_plugin import plugin_files

PLUGINS = Path(__file__).parents[2] / "plugins"
SHOWN = set(re.findall(r"<!-- file plugins/zoo-tutorial/(\S+) -->", (PLUGINS / "README.md").read_text()))
OWN_WORDS = {"README.md", "zoo_tutorial/__init__.py"}
"""Files that only say what the plugin is."""


def test_a_reader_gets_every_file() -> None:
    listed = ["git", "-C", PLUGINS / "zoo-tutorial", "ls-files", "-co", "--exclude-standard", "."]
    files = set(subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split())
    new = plugin_files("tutorial", "head")
    assert new.keys() <= files
    assert files - SHOWN - OWN_WORDS == {"LICENSE"}
    assert (PLUGINS / "zoo-tutorial" / "LICENSE").read_text() == new["LICENSE"]


@pytest.mark.parametrize(
    ("kind", "name", "part"),
    [
        ("head", "prototypes", zoo_tutorial.head.Prototypes),
        ("schedule", "ends-first", zoo_tutorial.schedule.ends_first),
        ("backbone", "pico-mixer", zoo_tutorial.backbone.pico_mixer),
    ],
)
def test_its_parts_are_installed_and_owned(kind: str, name: str, part: object) -> None:
    plugin = find(kind, name)
    assert (plugin.full_name, plugin.load()) == (f"zoo-tutorial:{name}", part)


@pytest.mark.parametrize("head", ["linear", "mlp", "prototypes"])
@pytest.mark.parametrize("backbone", ["pico-mixer", "test_resnet", "test_vit"])
def test_its_parts_go_with_others(backbone: str, head: str) -> None:
    size = 160 if backbone == "test_vit" else 32
    model = classifier(backbone, size, head)
    assert logits(model, images(2, size)).shape == (2, 5)


def test_the_schedule_plans_for_the_backbone() -> None:
    groups = tuple(parameter_groups(classifier("pico-mixer"), 32))
    assert groups == ("stem", "stage1", "stage2", "stage3", "stage4", "head")
    ends, everything = zoo_tutorial.schedule.ends_first(groups, epochs=3)
    assert (ends.trainable, everything.trainable) == (("stem", "head"), groups)
