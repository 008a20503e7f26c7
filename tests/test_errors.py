import re

import pytest

from zoo import errors
from zoo.errors import Interrupted, RecipeError, UnknownName, UsageError, ZooError, did_you_mean, first_line, nearest


def test_the_drawing_in_the_docstring_is_the_tree():
    drawn, above = {}, {}
    for line in errors.__doc__.splitlines()[2:]:
        if found := re.match(r"([│├└─ ]*)(\w+) ", line):
            depth = len(found[1])
            above[depth] = found[2]
            drawn[found[2]] = above.get(depth - 4, "Exception")
    real = {k: v for k, v in vars(errors).items() if isinstance(v, type) and issubclass(v, Exception)}
    assert drawn == {name: error.__base__.__name__ for name, error in real.items()}


def test_exit_codes():
    codes = {name: e.exit_code for name, e in vars(errors).items() if isinstance(e, type) and issubclass(e, ZooError)}
    assert {name for name, code in codes.items() if code == 2} == {"UsageError", "UnknownName", "RecipeError"}
    assert {name for name, code in codes.items() if code == 1} == codes.keys() - {
        "UsageError",
        "UnknownName",
        "RecipeError",
    }
    assert [Interrupted("stopped", signal).exit_code for signal in (2, 15)] == [130, 143]


MANY = [f"model{i:02}" for i in range(13)]


@pytest.mark.parametrize(
    ("name", "known", "answer"),
    [
        ("liner", ["linear", "mlp"], " Did you mean 'linear'?"),
        ("zoo-x:mpl", ["linear", "mlp"], " Did you mean 'mlp'?"),  # whatever the owner
        ("LINEAR", ["linear", "mlp"], " Did you mean 'linear'?"),
        ("cifar", ["cifar10-densenet", "quickstart"], " Did you mean 'cifar10-densenet'?"),  # a part of the name
        ("attention", ["linear", "mlp"], " There are: linear, mlp."),
        ("model1", MANY, " Did you mean 'model12'?"),
        ("quite-another", MANY, ""),  # too many to name
        ("anything", [], ""),
        ("", ["linear"], " There are: linear."),
    ],
)
def test_did_you_mean(name, known, answer):
    assert did_you_mean(name, iter(known)) == answer
    assert nearest(name, iter(known)) == (answer if "Did" in answer else "")


def test_an_unknown_name_offers_the_nearest_and_what_to_type():
    error = UnknownName("head", "liner", ["linear", "mlp"], "See them all: zoo list heads")
    assert str(error) == "unknown head 'liner'. Did you mean 'linear'? See them all: zoo list heads"
    assert str(UnknownName("head", "liner", [])) == "unknown head 'liner'."


def test_a_recipe_error_has_one_line_a_fault():
    error = RecipeError(fault for fault in ("a.yaml:1: x: wrong", "a.yaml:2: y: wrong"))
    assert error.faults == ("a.yaml:1: x: wrong", "a.yaml:2: y: wrong")
    assert str(error) == "a.yaml:1: x: wrong\na.yaml:2: y: wrong"
    assert isinstance(error, UsageError)


def test_first_line() -> None:
    assert first_line(ValueError("\n \nwhat\nmore")) == "what"
    assert first_line(KeyError()) == "KeyError"
