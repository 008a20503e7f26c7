"""torch.compile, as a recipe asks for it."""

import torch

from zoo.training.compiling import compile_module


def test_what_is_open_or_refused_stays_as_it_is():
    module = torch.nn.Linear(1, 1)
    assert compile_module(module, False) is compile_module(module, "auto") is module
