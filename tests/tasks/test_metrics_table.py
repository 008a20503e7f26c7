"""The table of metrics: each row has its function and each function its row, on every task."""

import math

import pytest
from small import recipe

from zoo.config.loading import load_recipe
from zoo.errors import RecipeError
from zoo.evaluation.metrics import DEAR, FUNCTIONS
from zoo.tasks.metrics_table import METRIC_NAMES, METRICS, better, current, measured, metric, metrics_of


def test_rows_and_functions_are_the_same():
    for task, functions in FUNCTIONS.items():
        assert {row.name for row in metrics_of(task)} == functions.keys()
    assert {task for row in METRICS for task in row.tasks} == FUNCTIONS.keys()
    assert len(set(METRIC_NAMES)) == len(METRICS) and set(DEAR) <= set(METRIC_NAMES)


@pytest.mark.parametrize("task", FUNCTIONS)
def test_each_task_is_judged_by_a_score(task):
    judge = next(row for row in metrics_of(task) if row.headline)
    assert judge.higher_is_better and judge.name == {"multiclass": "accuracy", "multilabel": "map"}[task]


@pytest.mark.parametrize("name", METRIC_NAMES)
def test_a_recipe_may_choose_by_each(name):
    assert recipe(train={"best_by": name}).train.best_by == name


def test_the_former_name_is_read_as_todays():
    assert load_recipe("quickstart", ["train.best_by=macro_recall"]).train.best_by == "balanced_accuracy"
    assert current({"macro_recall": 0.5, "images": 3}) == {"balanced_accuracy": 0.5, "images": 3}
    assert measured({"loss": 1, "macro_recall": 0.5, "map": None}) == [
        (metric("balanced_accuracy"), 0.5),
        (metric("loss"), 1),
    ]
    with pytest.raises(RecipeError, match=r"train.best_by: expected .*, found 'mmc'. Did you mean 'mcc'\?"):
        load_recipe("quickstart", ["train.best_by=mmc"])


@pytest.mark.parametrize(
    ("name", "new", "old", "expected"),
    [
        ("accuracy", 0.5, None, True),
        ("accuracy", 0.6, 0.5, True),
        ("accuracy", 0.5, 0.5, False),
        ("auroc", 0.4, 0.5, False),
        ("auroc", None, 0.5, False),
        ("auroc", None, None, False),
        ("kappa", -0.1, -0.2, True),
        ("loss", 0.4, 0.5, True),
        ("loss", 0.6, 0.5, False),
        ("loss", 0.5, 0.5, False),
        ("loss", math.nan, 0.5, False),
        ("loss", math.nan, None, False),
        ("loss", 0.5, None, True),
        ("log_loss", 0.4, 0.5, True),
    ],
)
def test_better(name, new, old, expected):
    assert better(name, new, old) is expected


def test_a_metric_without_a_row_has_no_direction():
    with pytest.raises(KeyError):
        better("f2", 1.0, 0.5)
