"""Collects the state of whatever registers itself into one checkpoint, and decides when one is due."""

import time
from pathlib import Path
from typing import Any

from torch import nn

from zoo.distributed.processes import Processes
from zoo.errors import RunError
from zoo.training import checkpoint
from zoo.training.learner import own_tensors
from zoo.training.stateful import MethodState, ModuleState, Stateful

SHARE = 50
"""At least this many times the duration of a save lies between two, so that saving costs 2 % at most."""


class Checkpointer:
    """Saves and resumes everything that is registered. folder: None keeps nothing; interval_s: seconds, 0 for each step.

    Each name is a file of tensors and a key of `state.json`, where it has either.
    """

    def __init__(self, folder: Path | None, interval_s: float, processes: Processes) -> None:
        self.folder, self.interval_s, self.processes = folder, interval_s, processes
        self.saved_at, self.took = time.monotonic(), 0.0
        self._registered: dict[str, Stateful] = {}
        self._loaded: dict[str, tuple[checkpoint.Tensors, Any]] = {}

    def register(self, name: str, stateful: Stateful, required: bool = False) -> None:
        """Save this state from now on, in place of what had the name before, and load it from a resumed checkpoint.

        required: whether the resumed checkpoint must hold it; raises RunError where it does not.
        """
        self._registered[name] = stateful
        if name in self._loaded:
            stateful.load(*self._loaded.pop(name))
        elif required:
            raise RunError(f"the checkpoint holds no state of '{name}'; it is another version's. Start a new run")

    def register_model(self, model: nn.Module, learner: nn.Module, wanted: bool) -> None:
        """Save the whole model and, where its learner has any, the learner's own tensors. wanted: as for `ModuleState`."""
        self.register("model", ModuleState(model, wanted))
        if own_tensors(learner):
            self.register("method", MethodState(learner, wanted))

    def unregister(self, *names: str) -> None:
        """Forget states that end with a phase; names that are not registered are passed over."""
        for name in names:
            self._registered.pop(name, None)

    def resume(self, path: Path) -> None:
        """Load a checkpoint into what is registered; the rest waits for `register`. Raises RunError where it does not fit."""
        tensors, state = checkpoint.load(path)
        kept = {*tensors, *(name for name, value in state.items() if value is not None)}
        self._loaded = {name: (tensors.get(name, {}), state.get(name)) for name in kept}
        for name, stateful in self._registered.items():
            if name in self._loaded:
                stateful.load(*self._loaded.pop(name))

    def end_resuming(self) -> None:
        """Drop what nobody took of a resumed checkpoint."""
        self._loaded = {}

    @property
    def is_due(self) -> bool:
        """Whether it is time to save, by the main process's clock."""
        interval = max(self.interval_s, SHARE * self.took if self.interval_s else 0.0)
        return self.processes.is_main and time.monotonic() - self.saved_at >= interval

    def save(self, step: int) -> None:
        """Write a checkpoint on the main process. Collective; a failure to write is raised on every process."""
        if self.folder is None:
            return
        failure, began = None, time.monotonic()
        states = {name: stateful.state() for name, stateful in self._registered.items()}
        if self.processes.is_main:
            tensors = {name: tensors for name, (tensors, _) in states.items() if tensors}
            rest = {name: value for name, (_, value) in states.items() if value is not None}
            try:
                checkpoint.save(self.folder, step, tensors, rest)
            except Exception as error:
                failure = error
        self.saved_at, self.took = time.monotonic(), time.monotonic() - began
        failure = self.processes.broadcast(failure)
        if failure is not None:
            raise failure
