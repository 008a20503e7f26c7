"""Training steps tried on a copy of the model: weights, statistics and generators of the run stay bit for bit."""

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch

from zoo.contracts import At, Phase, Seen
from zoo.training.feature_plan import keeps_statistics
from zoo.training.freezing import freeze, set_train_mode
from zoo.training.inputs import make_learner
from zoo.training.learner import own_parameters
from zoo.training.optim import build_optimizer
from zoo.training.setup import Setup

START = At(0, 1, 0, 0)


class TrialStep:
    """A copy of the model and an optimiser, ready for steps of the phase that trains most."""

    def __init__(self, setup: Setup, device: torch.device) -> None:
        recipe, self.device = setup.recipe, device
        phase = widest_phase(setup)
        self.shape = (setup.transform.channels, setup.transform.size, setup.transform.size)
        self.model = copy.deepcopy(setup.model).to(device)
        freeze(self.model, setup.groups, phase)
        set_train_mode(self.model, keeps_statistics(phase, recipe))
        self.task, self.classes = setup.data.task, len(setup.data.classes)
        self.trained = make_learner(replace(setup, model=self.model), device)
        own = list(own_parameters(self.trained).values())
        self.optimizer = build_optimizer(self.model, setup.groups, phase, recipe.optim, own)

    def inputs(self, count: int, channels_last: bool) -> torch.Tensor:
        """Random images, (count, C, H, W)."""
        return torch.randn(count, *self.shape, device=self.device).contiguous(memory_format=_format(channels_last))

    def arrange(self, channels_last: bool) -> None:
        """Put weights and the optimiser's memory into a memory format."""
        self.model.to(memory_format=_format(channels_last))
        for state in self.optimizer.state.values():
            for key, value in state.items():
                if isinstance(value, torch.Tensor) and value.ndim == 4:
                    state[key] = value.contiguous(memory_format=_format(channels_last))

    def step(self, inputs: torch.Tensor, precision: str) -> None:
        """Forward, loss, backward and optimiser step; returns when the device has done them."""
        self.update(self.forward(inputs, precision))
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def forward(self, inputs: torch.Tensor, precision: str) -> torch.Tensor:
        """The loss of a batch with made-up targets."""
        targets = self.task.example(len(inputs), self.classes).to(self.device)
        valid, indices = torch.ones(len(inputs), device=self.device), torch.arange(len(inputs))
        with self._autocast(precision):
            return self.trained(Seen(inputs, targets, valid, indices), START)["loss"].mean()

    def update(self, loss: torch.Tensor) -> None:
        """Backward and an optimiser step."""
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def infer(self, inputs: torch.Tensor, precision: str) -> None:
        """A forward pass as validation makes it."""
        with torch.inference_mode(), self._autocast(precision):
            self.model(inputs)

    def _autocast(self, precision: str) -> torch.autocast:
        dtype = torch.float16 if precision == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype, enabled=precision != "fp32")


def widest_phase(setup: Setup) -> Phase:
    """The phase that trains most."""
    return max(setup.phases, key=lambda phase: sum(len(setup.groups[group]) for group in phase.trainable))


def _format(channels_last: bool) -> torch.memory_format:
    return torch.channels_last if channels_last else torch.contiguous_format


@contextmanager
def preserve_generators(device: torch.device) -> Iterator[None]:
    """Whatever is drawn inside, Python's, numpy's and torch's generators come back as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
