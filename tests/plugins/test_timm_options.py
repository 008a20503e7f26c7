"""Options of timm's optimisers, read from sources, are those that timm's own classes take."""

import inspect
import subprocess
import sys

import pytest
from timm.optim import get_optimizer_class, get_optimizer_info, list_optimizers

from zoo.plugins.kinds import KINDS
from zoo.plugins.timm_options import SETTLED, optimizer_options

FOREIGN = ("bnb", "fused")
"""Beginnings of names whose classes are in packages that may be missing."""


@pytest.mark.parametrize("name", [name for name in list_optimizers() if not name.startswith(FOREIGN)])
def test_options_are_those_of_timms_class(name):
    found = {option.name: option for option in optimizer_options(name)}
    taken = inspect.signature(get_optimizer_class(name, bind_defaults=False)).parameters
    assert [n for n in taken if n not in (*KINDS["optimizer"].given, *SETTLED)] == list(found)
    for key, value in (get_optimizer_info(name).defaults or {}).items():
        assert found[key].default == repr(value)


def test_sgd_has_nesterov_momentum():
    found = {option.name: (option.type, option.default) for option in optimizer_options("sgd")}
    assert (found["nesterov"], found["momentum"]) == (("bool", "True"), ("float", "0.9"))
    assert {o.name: o.default for o in optimizer_options("momentum")}["nesterov"] == "False"


@pytest.mark.parametrize("name", ["no-such-optimiser", "fusedsgd", "bnbadam"])
def test_what_cannot_be_read_has_no_options(name):
    assert optimizer_options(name) == ()


def test_torch_is_not_imported():
    code = (
        "import sys; from zoo.plugins.timm_options import optimizer_options as o; "
        "print(len(o('adamw')) > 0, {'torch', 'timm'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True set()\n", "")
