"""The stored rule of decision: what is written, what is read again, and what a stranger's file may not say."""

from typing import Any

import pytest

from zoo.errors import ModelError
from zoo.tasks.rule import IDENTITY, Rule, read_rule

LABELS = Rule(temperature=1.5, thresholds=(0.3, 0.6), prior=(0.1, 0.4), tau=0.5, fitted_on=200)
CLASSES = Rule(abstain_below=0.4, quantile=0.8)


def test_only_what_differs_is_written() -> None:
    assert IDENTITY.as_dict() == {}
    assert CLASSES.as_dict() == {"abstain_below": 0.4, "quantile": 0.8}


@pytest.mark.parametrize(("rule", "task"), [(IDENTITY, "multiclass"), (CLASSES, "multiclass"), (LABELS, "multilabel")])
def test_what_was_written_is_read(rule: Rule, task: str) -> None:
    assert read_rule({"task": task, "rule": rule.as_dict()}, 2) == (task, rule)


def test_models_of_before_have_no_rule() -> None:
    assert read_rule({}, 3) == ("multiclass", IDENTITY)
    assert read_rule({"task": "multi-class"}, 3) == ("multiclass", IDENTITY)


PARTS = "expected 2 numbers between 0 and 1, one for each class"


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"task": "multilable"}, "zoo.task is 'multilable'. Did you mean 'multilabel'?"),
        ({"task": ["multilabel"]}, "zoo.task is ['multilabel']. Did you mean 'multilabel'?"),
        ({"rule": [1]}, "zoo.rule is [1]; expected a mapping"),
        ({"rule": {"temprature": 2.0}}, "zoo.rule has the unknown key 'temprature'. Did you mean 'temperature'?"),
        ({"rule": {"temperature": 0}}, "zoo.rule.temperature is 0; expected a number above 0"),
        ({"rule": {"temperature": float("nan")}}, "zoo.rule.temperature is nan; expected a number above 0"),
        ({"rule": {"temperature": True}}, "zoo.rule.temperature is True; expected a number above 0"),
        ({"rule": {"thresholds": [0.5, 0.5]}}, "zoo.rule.thresholds does not go with the task 'multiclass'"),
        ({"task": "multilabel", "rule": {"quantile": 0.5}}, "zoo.rule.quantile does not go with the task 'multilabel'"),
        ({"task": "multilabel", "rule": {"thresholds": [0.5]}}, f"zoo.rule.thresholds is [0.5]; {PARTS}"),
        ({"task": "multilabel", "rule": {"thresholds": 0.5}}, f"zoo.rule.thresholds is 0.5; {PARTS}"),
        ({"task": "multilabel", "rule": {"thresholds": [0.5, 2]}}, f"zoo.rule.thresholds is [0.5, 2]; {PARTS}"),
        ({"rule": {"prior": [0, 1]}}, f"zoo.rule.prior is [0, 1]; {PARTS}"),
        ({"rule": {"tau": 1.0}}, "zoo.rule.tau is 1.0; expected it together with zoo.rule.prior"),
        ({"rule": {"fitted_on": 1.5}}, "zoo.rule.fitted_on is 1.5; expected a whole number of images"),
    ],
)
def test_what_is_refused(about: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError) as problem:
        read_rule(about, 2)
    assert str(problem.value) == f"config.json: {message}"
