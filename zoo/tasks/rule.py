"""How a model's logits become probabilities and decisions: kept in `config.json`, so that it travels with the model.

Nothing here imports torch. Letters: K classes.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from zoo.errors import ModelError, did_you_mean

USED = {
    "multiclass": ("activation", "temperature", "prior", "tau", "abstain_below", "quantile"),
    "multilabel": ("temperature", "thresholds", "prior", "tau"),
}
"""Each built-in task, and the fields of a rule that it reads."""
THRESHOLD = 0.5
"""Probability from which a label is given where a rule has no thresholds."""
ACTIVATIONS = ("softmax", "sigmoid")
OLD_NAMES = {"multi-class": "multiclass"}
"""Task names in a `config.json` of earlier versions, and what they are called now."""


@dataclass(frozen=True)
class Rule:
    """What stands between logits and an answer. The default changes nothing.

    activation: `softmax` or `sigmoid`, which makes probabilities of logits; None is the task's own.
    temperature: above 0; logits are divided by it.
    thresholds: K probabilities between 0 and 1 from which a label is given; None means `THRESHOLD` for each.
    prior, tau: K rates between 0 and 1 of the classes in training, and how much of their logarithm (of their log-odds
        for labels) is subtracted from the logits; tau is 0 or more.
    abstain_below: no class is given where the largest probability, between 0 and 1, is smaller; None always gives one.
    quantile: between 0 and 1; classes of at least the probability 1 - quantile form the conformal set; None makes none.
    fitted_on: images that the rule was fitted on, 0 where nothing was fitted.
    """

    activation: str | None = None
    temperature: float = 1.0
    thresholds: tuple[float, ...] | None = None
    prior: tuple[float, ...] | None = None
    tau: float = 0.0
    abstain_below: float | None = None
    quantile: float | None = None
    fitted_on: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The fields that differ from their defaults, as JSON takes them; empty for the default rule."""
        fields = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}
        return {name: value for name, value in fields.items() if value != getattr(Rule, name)}

    @classmethod
    def from_dict(cls, values: Any, task: str, classes: int) -> "Rule":
        """The rule that `as_dict` wrote, checked for a task with so many classes. Raises ModelError."""
        if not isinstance(values, Mapping):
            raise _refused("", values, "a mapping")
        known = list(cls.__dataclass_fields__)
        for name in values:
            if name not in known:
                raise ModelError(f"config.json: zoo.rule has the unknown key {name!r}.{did_you_mean(str(name), known)}")
            if name not in (*USED.get(task, known), "fitted_on") and values[name] is not None:
                raise ModelError(f"config.json: zoo.rule.{name} does not go with the task '{task}'")
        for name, (fits, expected) in _CHECKS.items():
            if values.get(name) is not None and not fits(values[name]):
                raise _refused(f".{name}", values[name], expected)
        for name in ("thresholds", "prior"):
            given = values.get(name)
            if given is not None and not (isinstance(given, list) and len(given) == classes and all(map(_part, given))):
                raise _refused(f".{name}", given, f"{classes} numbers between 0 and 1, one for each class")
        if values.get("tau") and values.get("prior") is None:
            raise _refused(".tau", values["tau"], "it together with zoo.rule.prior")
        return cls(**{n: tuple(v) if isinstance(v, list) else v for n, v in values.items() if v is not None})


IDENTITY = Rule()
"""The rule that changes nothing."""


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _part(value: Any) -> bool:
    """Whether the value is a number between 0 and 1, both excluded."""
    return _number(value) and 0 < value < 1


_CHECKS = {
    "activation": (lambda value: value in ACTIVATIONS, " or ".join(ACTIVATIONS)),
    "temperature": (lambda value: _number(value) and 0 < value <= 1e6, "a number above 0"),
    "tau": (lambda value: _number(value) and 0 <= value <= 1e3, "a number of 0 or more"),
    "abstain_below": (_part, "a number between 0 and 1"),
    "quantile": (_part, "a number between 0 and 1"),
    "fitted_on": (lambda value: _number(value) and isinstance(value, int) and value >= 0, "a whole number of images"),
}


def _refused(key: str, found: Any, expected: str) -> ModelError:
    text = repr(found)
    text = text if len(text) <= 60 else f"{text[:60]}…"
    return ModelError(f"config.json: zoo.rule{key} is {text}; expected {expected}")


def read_rule(about: Mapping[str, Any], classes: int) -> tuple[str, Rule]:
    """The task's name and the rule in the `zoo` section of a `config.json`. Raises ModelError.

    A section without them is of a multiclass model that decides by the largest probability.
    """
    name = about.get("task", "multiclass")
    name = OLD_NAMES.get(name, name) if isinstance(name, str) else name
    if name not in list(USED):
        raise ModelError(f"config.json: zoo.task is {name!r}.{did_you_mean(str(name), list(USED))}")
    return name, Rule.from_dict(about.get("rule") or {}, name, classes)
