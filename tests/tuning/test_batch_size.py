"""Batch size: halves of the effective batch, what a step needs, and the run's generators untouched."""

import random

import numpy as np
import psutil
import pytest
import torch
from small import recipe

from zoo.distributed.processes import Processes
from zoo.training.plan import steps_per_epoch
from zoo.training.setup import Setup, build
from zoo.tuning.batch_size import _AllocationTracker, estimate_bytes, find_largest, fit_batch, list_halvings
from zoo.tuning.trial_step import TrialStep

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "gpu" not in request.node.name:
        monkeypatch.setenv("ACCELERATE_USE_CPU", "true")


def setup(accumulation: int = 1, backbone: str = "test_resnet", size: int = 32, **sections) -> Setup:
    data = {"source": "sample:fashion-mnist", "limit": 40, "batch_size": "auto"}
    return build(recipe(backbone, size, data=data, train={"accumulation": accumulation}, **sections))


@pytest.mark.parametrize(
    ("effective", "processes", "expected"),
    [
        (64, 1, [64, 32, 16, 8, 4, 2]),
        (64, 4, [64, 32, 16, 8]),
        (64, 64, [64]),
        (192, 1, [192, 96, 48, 24, 12, 6, 3]),
        (2, 1, [2]),
    ],
)
def test_halves_of_the_effective_batch(effective, processes, expected):
    assert list_halvings(effective, processes) == expected


@pytest.mark.parametrize("effective", [64, 192])
def test_steps_stay_what_they_are(effective):
    for batch in list_halvings(effective, 1):
        how = recipe(data={"batch_size": batch}, train={"accumulation": effective // batch})
        whole = recipe(data={"batch_size": effective})
        for count in range(1, 3 * effective):
            assert steps_per_epoch(count, how) == steps_per_epoch(count, whole), (count, batch)


@pytest.mark.parametrize(("room", "expected"), [(100, 64), (64, 64), (63, 32), (5, 4), (1, 2)])
def test_the_largest_that_fits_is_tried_first(room, expected):
    tried = []

    def fits(size: int) -> bool:
        tried.append(size)
        return size <= room

    sizes = [64, 32, 16, 8, 4, 2]
    assert find_largest(sizes, fits) == expected
    assert tried == sizes[: len(tried)] and expected in (*tried, 2)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("backbone", "size"), [("test_resnet", 64), ("resnet10t", 64), ("test_vit", 160)])
def test_what_a_step_needs_is_known_before(backbone, size, precision):
    own = setup(backbone=backbone, size=size)
    said = estimate_bytes(TrialStep(own, CPU), precision, True)(48)
    trial_step = TrialStep(own, CPU)
    with _AllocationTracker(trial_step.model) as held:
        for count in (2, 48):
            trial_step.step(trial_step.inputs(count, True), precision)
    assert 0.9 * held.peak < said < 1.4 * held.peak


@pytest.mark.parametrize(("accumulation", "expected"), [(1, (64, 1)), (3, (192, 1))])
def test_what_fits_whole_is_not_cut(accumulation, expected):
    assert fit_batch(setup(accumulation), Processes("fp32"), "fp32", True) == expected


def test_what_does_not_fit_is_cut_and_accumulated():
    own, free = setup(2**24), psutil.virtual_memory().available
    batch, accumulation = fit_batch(own, Processes("fp32"), "fp32", True)
    assert batch * accumulation == 64 * 2**24 and batch < 64 * 2**24
    need = estimate_bytes(TrialStep(own, CPU), "fp32", True)
    assert need(batch) < 0.75 * free < 3 * need(2 * batch)


def test_nothing_changes():
    own = setup(head={"name": "linear", "dropout": 0.5})
    state = {name: tensor.clone() for name, tensor in own.model.state_dict().items()}
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    fit_batch(own, Processes("fp32"), "fp32", True)
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    assert all(torch.equal(state[name], tensor) for name, tensor in own.model.state_dict().items())
    assert all(p.grad is None for p in own.model.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_tried():
    own, processes = setup(2**14, backbone="resnet18", size=224), Processes("bf16")
    batch, accumulation = fit_batch(own, processes, "bf16", True)
    assert batch * accumulation == 64 * 2**14 and 8 <= batch < 64 * 2**14
    trial_step = TrialStep(own, processes.device)
    trial_step.step(trial_step.inputs(batch, True), "bf16")
    assert fit_batch(setup(1), processes, "bf16", True) == (64, 1)
