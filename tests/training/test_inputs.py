"""What training reads: where images wait for it, and how large they are kept."""

import psutil
import pytest
import torch

from zoo.config.recipe import Augment, Data
from zoo.data.image_store import EvalTransform
from zoo.training import inputs
from zoo.training.inputs import fits_in_memory, stored_transform

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("nbytes", "device", "expected"),
    [(5_000, GPU, GPU), (5_001, GPU, CPU), (1, CPU, CPU)],
    ids=["room on the GPU", "no room", "no GPU"],
)
def test_where_decoded_images_wait(nbytes, device, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda where: (100_000, 200_000))
    assert inputs._home(nbytes, device) == expected


def test_images_to_crop_from_are_stored_larger():
    view = EvalTransform(64, 0.9, 3)
    assert stored_transform(view, Augment(crop="resized")) == EvalTransform(73, 1.0, 3)
    assert stored_transform(view, Augment(crop="padded")) == view


@pytest.mark.parametrize(
    ("in_memory", "processes", "expected"), [("auto", 1, True), ("auto", 2, False), (True, 9, True), (False, 1, False)]
)
def test_images_are_held_where_all_processes_have_room(in_memory, processes, expected, monkeypatch):
    view, count = EvalTransform(10), 100
    memory = type("Memory", (), {"available": 1.5 * count * view.nbytes / inputs.MEMORY_SHARE})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    assert fits_in_memory(count, view, Data(source="x", in_memory=in_memory), processes) == expected
