"""The zoo's side: `zoo.finetune` as anyone calls it, timed from outside by what it reports."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from setting import Setting

import zoo
from zoo.config.loading import parse_recipe
from zoo.config.recipe import Recipe
from zoo.reporting import Reporter

BASE = """
model: {backbone: resnet18, pretrained: false}
data: {source: unknown, in_memory: true, augment: {flip: true, crop: padded}}
optim: {name: adamw, lr: 1e-3}
"""


def overrides(setting: Setting, source: Path, backbone: str, *more: str) -> list[str]:
    """The bench's settings as `key=value`, for a recipe here or the command line of a process."""
    return [
        f"model.backbone={backbone}",
        f"data.source={source}",
        f"data.image_size={setting.size}",
        f"data.batch_size={setting.batch}",
        f"train.precision={setting.precision}",
        "train.compile=false",
        *more,
    ]


def recipe(setting: Setting, source: Path, backbone: str, *more: str) -> Recipe:
    """The bench's recipe with `key=value` overrides."""
    return parse_recipe(BASE, "the bench's recipe", overrides(setting, source, backbone, *more))


class Turns(Reporter):
    """Times each epoch, and after it gives every other loop its turn, so that what else happens meets all alike."""

    def __init__(self, setting: Setting, others: Mapping[str, Callable[[], object]]) -> None:
        self.setting, self.others = setting, others
        self.seconds: dict[str, list[float]] = {name: [] for name in ("zoo", *others)}
        self.began: float | None = None

    def start(self, task: str, total: int, done: int = 0) -> None:
        self.began = self.setting.now() if task.startswith("epoch") else None

    def finish(self) -> None:
        if self.began is not None:
            self.seconds["zoo"].append(self.setting.now() - self.began)
            self.began = None

    def epoch(self, line: Mapping) -> None:
        for name, turn in self.others.items():
            self.seconds[name].append(timed(self.setting, turn))


def alternate(
    setting: Setting, source: Path, backbone: str, others: Mapping[str, Callable[[], object]], *more: str
) -> dict[str, list[float]]:
    """Images per second of the zoo (`zoo`) and of each other loop, which trains on as many in its turn, by round."""
    turns, images = Turns(setting, others), setting.steps * setting.batch
    finetune(setting, source, backbone, turns, f"train.epochs={setting.rounds + 1}", *more)
    return {name: [images / each for each in seconds[1:]] for name, seconds in turns.seconds.items()}


class Marks(Reporter):
    """When the images were ready, and when the last epoch of each phase ended."""

    def __init__(self, setting: Setting) -> None:
        self.setting, self.task, self.ready = setting, "", 0.0
        self.ends: dict[int, float] = {}

    def start(self, task: str, total: int, done: int = 0) -> None:
        self.task = task

    def finish(self) -> None:
        if self.task.startswith("reading") and not self.ends:
            self.ready = self.setting.now()
        self.task = ""

    def epoch(self, line: Mapping) -> None:
        self.ends[line["phase"]] = self.setting.now()

    @property
    def phases(self) -> list[float]:
        """Seconds from the images being ready to the end of each phase."""
        return [end - self.ready for end in self.ends.values()]


def phases(setting: Setting, source: Path, backbone: str, *more: str) -> list[float]:
    """Seconds from the images being ready to the end of each phase, with nothing cached from before."""
    marks = Marks(setting)
    with new_cache():
        finetune(setting, source, backbone, marks, *more)
    return marks.phases


def finetune(setting: Setting, source: Path, backbone: str, reporter: Reporter, *more: str) -> None:
    """A whole run, kept nowhere."""
    with tempfile.TemporaryDirectory(dir=setting.folder) as folder:
        zoo.finetune(recipe(setting, source, backbone, *more), out=Path(folder) / "run", reporter=reporter)


def timed(setting: Setting, turn: Callable[[], object]) -> float:
    """The seconds that `turn` took."""
    began = setting.now()
    turn()
    return setting.now() - began


@contextmanager
def new_cache() -> Iterator[None]:
    """The zoo's cache folder is a new one meanwhile."""
    before = os.environ.get("ZOO_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ZOO_CACHE"] = folder
        try:
            yield
        finally:
            os.environ.pop("ZOO_CACHE") if before is None else os.environ.update(ZOO_CACHE=before)
