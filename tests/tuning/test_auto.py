"""What is left open is closed by trying; here: what then does not go together."""

import pytest
from small import recipe

from zoo.distributed.processes import Processes
from zoo.errors import UsageError
from zoo.training.setup import build
from zoo.tuning.auto import resolve_auto_settings

DATA = {"source": "sample:fashion-mnist", "limit": 40, "batch_size": 8}


@pytest.mark.parametrize(("accumulation", "batch"), [(2, 8), (4, 4)])
def test_cuda_graphs_are_refused_where_gradients_accumulate(accumulation, batch):
    train = {"compile": "reduce-overhead", "accumulation": accumulation, "precision": "fp32"}
    setup = build(recipe(data={**DATA, "batch_size": batch}, train=train))
    with pytest.raises(UsageError) as caught:
        resolve_auto_settings(setup, Processes("fp32"))
    assert str(caught.value) == (
        f"train.compile: reduce-overhead overwrites gradients that accumulate (train.accumulation is {accumulation}). "
        "Pass train.compile=true, or train.accumulation=1 with a number as data.batch_size"
    )


@pytest.mark.parametrize(("how", "accumulation"), [("reduce-overhead", 1), (True, 2)])
def test_either_alone_is_taken(how, accumulation):
    train = {"compile": how, "accumulation": accumulation, "precision": "fp32", "channels_last": True}
    setup, _, measured = resolve_auto_settings(build(recipe(data=DATA, train=train)), Processes("fp32"))
    assert (setup.recipe.train.compile, setup.recipe.train.accumulation, measured) == (how, accumulation, {})
