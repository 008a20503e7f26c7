"""Two commits are compared by what they train: planted differences are found, renamed keys are not taken for any."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from compare.differences import Difference, compare_runs, flat_recipe, new_keys
from compare.runs import BASE, RUNS
from compare.training import KILLED_AT, kill_step
from safetensors.numpy import save_file

ROOT = Path(__file__).parents[2]
TENSORS = {"head.weight": np.ones((2, 3), np.float32), "steps": np.array([7])}
METRICS = {
    "accuracy": 0.5, "top5": 1.0, "macro_f1": 0.4, "macro_precision": 0.3, "macro_recall": 0.45, "auroc": None, "loss": 1.5,
    "epochs": 3, "best_epoch": 2, "seconds": 1.0, "validation": {"accuracy": 0.25, "macro_recall": 0.2},
}  # fmt: skip
RECIPE = {"model": {"backbone": "x", "beside": ["y"]}, "train": {"shard": False}, "schedule": {"name": "none"}}


def finished(
    folder: Path, weights: dict[str, Any] | None = None, metrics: dict[str, Any] | None = None, recipe: Any = None
) -> Path:
    """A run folder as far as a comparison reads it."""
    (folder / "model").mkdir(parents=True)
    save_file(TENSORS if weights is None else weights, folder / "model" / "model.safetensors")
    (folder / "metrics.json").write_text(json.dumps(METRICS if metrics is None else metrics))
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE if recipe is None else recipe))
    return folder


@pytest.fixture
def before(tmp_path: Path) -> Path:
    return finished(tmp_path / "before")


def test_equal_runs_have_no_difference_and_the_clock_is_none(before: Path, tmp_path: Path) -> None:
    after = finished(tmp_path / "after", metrics={**METRICS, "seconds": 2.0, "accuracy": 0.500001})
    assert compare_runs(before, after) == []


def test_one_changed_byte_of_a_tensor_is_found(before: Path, tmp_path: Path) -> None:
    changed = TENSORS["head.weight"].copy()
    changed[1, 2] = np.nextafter(changed[1, 2], np.float32(2))
    after = finished(tmp_path / "after", {**TENSORS, "head.weight": changed})
    assert compare_runs(before, after) == [
        Difference("weights", "head.weight", "float32 (2, 3)", "differs by at most 1.19e-07")
    ]


def test_the_sign_of_zero_counts(tmp_path: Path) -> None:
    sides = [finished(tmp_path / str(zero), {"w": np.array([zero], np.float32)}) for zero in (0.0, -0.0)]
    assert [one.name for one in compare_runs(*sides)] == ["w"]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"steps": TENSORS["steps"]}, Difference("weights", "head.weight", "float32 (2, 3)", "absent")),
        ({**TENSORS, "bias": TENSORS["steps"]}, Difference("weights", "bias", "absent", "int64 (1,)")),
        (
            {**TENSORS, "head.weight": np.ones((3, 2), np.float32)},
            Difference("weights", "head.weight", "float32 (2, 3)", "float32 (3, 2)"),
        ),
        (
            {**TENSORS, "steps": np.array([7], np.int32)},
            Difference("weights", "steps", "int64 (1,)", "int32 (1,)"),
        ),
    ],
    ids=["missing", "added", "shape", "type"],
)
def test_other_tensors_are_found(weights: dict, expected: Difference, before: Path, tmp_path: Path) -> None:
    assert compare_runs(before, finished(tmp_path / "after", weights)) == [expected]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"accuracy": 0.50001}, Difference("metric", "accuracy", "0.5", "0.50001")),
        ({"auroc": 0.5}, Difference("metric", "auroc", "absent", "0.5")),
        ({"best_epoch": 3}, Difference("metric", "best_epoch", "2", "3")),
        ({"validation": {"macro_recall": 0.2}}, Difference("metric", "validation.accuracy", "0.25", "absent")),
    ],
    ids=["value", "added", "epoch", "missing in validation"],
)
def test_another_metric_is_found(change: dict, expected: Difference, before: Path, tmp_path: Path) -> None:
    assert compare_runs(before, finished(tmp_path / "after", metrics={**METRICS, **change})) == [expected]


def test_renamed_metrics_are_compared_under_both_names(before: Path, tmp_path: Path) -> None:
    renamed = {k: v for k, v in METRICS.items() if k not in ("macro_recall", "loss", "validation")}
    renamed |= {"balanced_accuracy": 0.45, "log_loss": 1.5, "loss": 9.0}
    renamed["validation"] = {"accuracy": 0.25, "balanced_accuracy": 0.3}
    assert compare_runs(before, finished(tmp_path / "after", metrics=renamed)) == [
        Difference("metric", "validation.balanced_accuracy", "0.2", "0.3")
    ]


def test_renamed_recipe_keys_are_the_same_and_new_ones_are_listed(before: Path, tmp_path: Path) -> None:
    recipe = {
        "model": {"backbone": "x", "concat": ["y"]},
        "train": {"fsdp": False},
        "schedule": {"name": "none"},
        "data": {"task": "auto"},
    }
    after = finished(tmp_path / "after", recipe=recipe)
    assert compare_runs(before, after) == []
    assert new_keys(before, after) == {"data.task": "auto"}


def test_another_value_and_a_missing_key_of_a_recipe_are_found(before: Path, tmp_path: Path) -> None:
    recipe = {"model": {"backbone": "x", "concat": ["z"]}, "schedule": {"name": "none"}}
    assert compare_runs(before, finished(tmp_path / "after", recipe=recipe)) == [
        Difference("recipe", "model.concat", "['y']", "['z']"),
        Difference("recipe", "train.fsdp", "False", "absent"),
    ]


def test_options_of_a_part_and_empty_mappings_are_keys(tmp_path: Path) -> None:
    recipe = {"model": {"head": {"name": "mlp", "hidden": 8}, "options": {}}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert flat_recipe(tmp_path / "recipe.yaml") == {
        "model.head.name": "mlp",
        "model.head.hidden": 8,
        "model.options": {},
    }


def test_each_shipped_schedule_and_loss_occurs_in_the_runs() -> None:
    shipped = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    settings = [s.partition("=")[::2] for run in RUNS.values() for s in run.settings]
    assert sorted(value for key, value in settings if key == "schedule") == sorted(shipped["zoo.schedules"])
    losses = {value for key, value in settings if key == "train.loss"}
    assert losses == set(shipped["zoo.losses"]) - {"cross-entropy"}
    assert yaml.safe_load(BASE)["train"]["precision"] == "fp32"


def test_the_step_to_kill_at_is_drawn_from_the_seed() -> None:
    drawn = [kill_step(seed) for seed in range(50)]
    assert set(drawn) == set(range(KILLED_AT[0], KILLED_AT[1] + 1))
    assert drawn == [kill_step(seed) for seed in range(50)]


def compare(root: Path, *words: str) -> subprocess.CompletedProcess:
    """The script of the checkout `root`."""
    command = [sys.executable, str(root / "tools" / "compare_commits.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose one commit is this checkout, as far as two runs need it."""
    if not shutil.which("git"):
        pytest.skip("needs git")
    root = tmp_path_factory.mktemp("repository")
    for name in ("zoo", "plugins/zoo-tutorial", "tools/compare"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "tools/compare_commits.py"):
        shutil.copy(ROOT / name, root / name)
    git = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "before"]):
        subprocess.run([*git, *words], check=True)
    return root


def test_a_change_is_found_in_the_run_that_it_concerns_alone(repository: Path) -> None:
    project = repository / "pyproject.toml"
    changed = re.sub(r'focal = "(.*):focal"', r'focal = "\1:cross_entropy"', project.read_text())
    project.write_text(changed)  # `train.loss=focal` is another function now, as where an entry point moved
    done = compare(repository, "HEAD", "--runs", "norms,plugin-head")
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["norms", "equal"]
    assert re.fullmatch(r"plugin-head +\d+ differences", lines[1])
    assert any(re.fullmatch(r"    weights  \S+: float32 .+ -> differs by at most \S+", line) for line in lines[2:])
    assert not any("recipe" in line for line in lines)
    assert lines[-1].startswith("1 of 2 runs are equal")
    left = subprocess.run(
        ["git", "-C", str(repository), "worktree", "list"], capture_output=True, text=True, check=True
    )
    assert len(left.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "error: git knows no commit 'nowhere' in {root}. See: git log --oneline"),
        (["HEAD", "--runs", "norms,ems"], "unknown run 'ems'. There are mixup, "),
        (["HEAD", "--keep", "{root}"], "'{root}' exists. Name a new folder"),
    ],
)
def test_a_wrong_word_is_a_usage_error(words: list[str], message: str, repository: Path) -> None:
    done = compare(repository, *(word.format(root=repository) for word in words))
    assert done.returncode == 2
    assert message.format(root=repository) in done.stderr
