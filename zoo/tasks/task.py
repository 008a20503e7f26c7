"""What a task is: how labels become targets, how logits become answers, and which losses and metrics fit.

Letters: N images of a split, B of a batch, K classes. Targets are int64 (N,) where an image has one class, float32
(N, K) of 0, 1 and NaN (unknown) where it may have several.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from zoo.errors import UnknownName

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset
    from torch import Tensor

    from zoo.tasks.rule import Rule
    from zoo.tasks.targets import Labels

HOMES = {
    "multiclass": "zoo.tasks.multiclass:Multiclass",
    "multilabel": "zoo.tasks.multilabel:Multilabel",
}
"""Where each task is, imported when it is looked for."""


@dataclass(frozen=True)
class Decision:
    """The answer for one image.

    classes: numbers of the classes given, the most probable first; empty where none is, or where the model abstains.
    abstained: whether the largest probability was below the rule's `abstain_below`.
    candidates: the conformal set, the most probable first; None where the rule has no quantile.
    """

    classes: tuple[int, ...]
    abstained: bool = False
    candidates: tuple[int, ...] | None = None


class Task(Protocol):
    """One kind of question about an image."""

    name: str
    losses: tuple[str, ...]
    """The zoo's own losses that fit, the default first."""
    headline: str
    """The validation metric that chooses the best epoch unless the recipe names another."""
    activation: str
    """`softmax` or `sigmoid`: what makes probabilities of logits."""

    def reads(self, feature: Any) -> bool:
        """Whether a column of this `datasets` feature can hold the task's labels."""

    def classes(self, train: "Dataset", how: "Labels") -> tuple[str, ...]:
        """Names of the classes, in the order of their numbers, from the training split. Raises DataError."""

    def own_classes(self, split: "Dataset", how: "Labels") -> tuple[str, ...]:
        """Names of the classes that any split has, of which one is enough. Raises DataError."""

    def encode(self, split: "Dataset", how: "Labels", classes: Sequence[str], name: str, kind: str) -> "np.ndarray":
        """Targets of a split. name: of the split in the source; kind: train, validation or test. Raises DataError.

        The result is int64 (N,) or float32 (N, K).
        """

    def unlabelled(self, split: "Dataset", how: "Labels") -> bool:
        """Whether no image of the split has a label, as in the test splits of competitions."""

    def check_train(self, targets: "np.ndarray", classes: Sequence[str], taken: Sequence[str]) -> list[str]:
        """Warnings about the training targets. Raises DataError where nothing can be learned of them.

        taken: the kinds of splits that are yet to be taken from the training split.
        targets: int64 (N,) or float32 (N, K).
        """

    def renumber(self, targets: "np.ndarray", numbers: "np.ndarray", classes: int) -> "np.ndarray":
        """Targets with class k called numbers[k], of `classes` classes in all.

        Both are int64 (N,) or float32 (N, K).
        """

    def strata(self, targets: "np.ndarray") -> "np.ndarray":
        """What parts of a split keep even: class numbers (N,), or bool (N, K)."""

    def counts(self, targets: "np.ndarray", classes: int) -> "np.ndarray":
        """Images that have each class, int64 (K,)."""

    def labels(self, target: "np.ndarray") -> tuple[int, ...]:
        """Numbers of the classes that one image has. target: a scalar or float32 (K,)."""

    def example(self, images: int, classes: int) -> "Tensor":
        """Targets of `images` made-up images, to try a loss or a training step with.

        The result is int64 (B,) or float32 (B, K).
        """

    def soft(self, targets: "Tensor", classes: int) -> "Tensor":
        """Targets of a batch as shares, float32 (B, K), which can be mixed; what is unknown stays NaN."""

    def prior_bias(self, targets: "np.ndarray", classes: int) -> "Tensor | None":
        """Logits (K,) of the training rates at which a new classifier's bias starts; None leaves the bias alone."""

    def probabilities(self, logits: "Tensor", rule: "Rule") -> "Tensor":
        """Logits (B, K) -> probabilities float32 (B, K), after the rule's temperature and prior."""

    def decide(self, probabilities: "Tensor", rule: "Rule") -> list[Decision]:
        """Probabilities (B, K) -> the answer for each image."""


def find_task(name: str) -> Task:
    """The task of that name. Raises UnknownName."""
    if name not in HOMES:
        raise UnknownName("task", name, HOMES)
    module, _, attribute = HOMES[name].partition(":")
    return getattr(import_module(module), attribute)()
