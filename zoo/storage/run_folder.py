"""A run folder: who may write to it, what it holds, and how far it got.

recipe.yaml          resolved, enough to repeat the run
environment.json     versions, device, git state, plugins, data fingerprint
metrics.jsonl        one line an event
events/              TensorBoard
checkpoints/         see zoo.training.checkpoint
model/               what others load: config.json, model.safetensors, README.md
metrics.json         metrics of the test split; written last, so a run that has it is whole
"""

import contextlib
import fcntl
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.errors import RunError
from zoo.storage.atomic import disk_faults, write_text


class Run:
    """The paths of a run folder."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.recipe = self.folder / "recipe.yaml"
        self.environment = self.folder / "environment.json"
        self.events = self.folder / "metrics.jsonl"
        self.checkpoints = self.folder / "checkpoints"
        self.model = self.folder / "model"
        self.metrics = self.folder / "metrics.json"

    @property
    def finished(self) -> bool:
        return self.metrics.is_file()

    def check_new(self) -> None:
        """Raises RunError unless a run can be started here."""
        if self.recipe.is_file():
            more = (
                f"see its result: zoo evaluate {self.folder}"
                if self.finished
                else f"go on with it: zoo resume {self.folder}"
            )
            raise RunError(f"{self.folder} already holds a run; {more}, or choose another --out")
        if self.folder.exists() and (
            not self.folder.is_dir() or any(p.name != "run.lock" for p in self.folder.iterdir())
        ):
            raise RunError(f"{self.folder} exists and is not empty; choose another --out")
        parent = next(p for p in (self.folder, *self.folder.absolute().parents) if p.exists())
        if not os.access(parent, os.W_OK) or not parent.is_dir():
            raise RunError(
                f"{self.folder} cannot be made: {parent} is not a folder you may write to; choose another --out"
            )

    def check_started(self) -> None:
        """Raises RunError unless a run was started here."""
        if not self.recipe.is_file():
            raise RunError(
                f"{self.folder} is not a run folder (it has no recipe.yaml). Start one: zoo finetune --recipe NAME --out {self.folder}"
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder alone; the lock goes with the process. Raises RunError naming who has it."""
        with disk_faults(self.folder, 0):
            lock = (self.folder / "run.lock").open("a+")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.seek(0)
                raise RunError(
                    f"{self.folder} is in use by {lock.read().strip() or 'another process'}; wait for it or stop it"
                ) from None
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {socket.gethostname()}")
            lock.flush()
            try:
                yield
            finally:
                fcntl.flock(lock, fcntl.LOCK_UN)  # not by closing: processes that decode images have it open, too

    def give_up(self) -> None:
        """Remove what was begun here, if no step of it was kept; the folder, too, if nothing else is in it."""
        if any(self.checkpoints.glob("step-*")):
            return
        for path in (self.recipe, self.environment, self.events, self.folder / "run.lock"):
            path.unlink(missing_ok=True)
        for path in (self.checkpoints, self.folder / "events"):
            shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def log(self, line: dict[str, Any]) -> None:
        """Append one event to `metrics.jsonl`. Raises DiskFull."""
        with disk_faults(self.folder, 0), self.events.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def history(self) -> list[dict[str, Any]]:
        """The events so far; a last line that a kill tore is left out."""
        lines = self.events.read_text(encoding="utf-8").splitlines() if self.events.is_file() else []
        events = []
        for line in lines:
            with contextlib.suppress(ValueError):
                events.append(json.loads(line))
        return events

    def forget_after(self, step: int) -> None:
        """Drop events later than a checkpoint, since they are about to happen again."""
        kept = [json.dumps(e) + "\n" for e in self.history() if e.get("step", 0) <= step]
        write_text(self.events, "".join(kept))


def default_folder(recipe: str) -> Path:
    """`runs/<recipe>-<time>`."""
    return Path("runs") / f"{Path(recipe).stem.replace(':', '-')}-{time.strftime('%Y%m%d-%H%M%S')}"
