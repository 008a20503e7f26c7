"""Measures of how well a score ranks positives above negatives: exact, ties by groups, all classes of a block at once.

N images, K classes. Targets are class indices (N,), or 0, 1 and NaN for unknown (N, K); unknown ones are left out.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

BLOCK = 2**23
"""Scores that are sorted at once, about 500 MB."""


def auroc(scores: Tensor, targets: Tensor) -> Tensor:
    """Area under the ROC curve of each class against the rest (K,) float64; NaN without positives or negatives.

    scores: (N, K) float. By the ranks of the positives, ties averaged (Mann and Whitney).
    """
    return _by_class(_auroc, scores, targets)


def average_precision(scores: Tensor, targets: Tensor) -> Tensor:
    """Average precision of each class (K,) float64; NaN for a class without positives.

    scores: (N, K) float. The sum over thresholds of precision times the step in recall, not interpolated;
    equal scores are one threshold.
    """
    return _by_class(_average_precision, scores, targets)


def _by_class(measure: Callable[[Tensor, Tensor, Tensor], Tensor], scores: Tensor, targets: Tensor) -> Tensor:
    """Of all classes, block by block; NaN for a class with a score that is NaN."""
    found = torch.cat([measure(*block) for block in _blocks(scores, targets)])
    return found.masked_fill(scores.isnan().any(0), torch.nan)


def _blocks(scores: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """(scores, positive, known), each (classes of the block, N); unknown scores are -inf."""
    count, classes = scores.shape
    width = max(1, BLOCK // max(1, count))
    for start in range(0, classes, width):
        part = scores[:, start : start + width].T.contiguous()
        if targets.ndim == 1:
            positive = targets[None] == torch.arange(start, start + len(part))[:, None]
            yield part, positive, torch.ones_like(positive)
        else:
            own = targets[:, start : start + width].T
            yield part.masked_fill(own.isnan(), -torch.inf), own == 1, ~own.isnan()


def _auroc(scores: Tensor, positive: Tensor, known: Tensor) -> Tensor:
    ordered, order = scores.sort(1, descending=True)
    first, last = _tied(ordered)
    positives, negatives = positive.sum(1).double(), (known & ~positive).sum(1).double()
    place = (first + last).double() / 2  # 0 is the best; unknown images stand last
    places = (place * positive.gather(1, order)).sum(1)
    above = places - positives * (positives - 1) / 2  # pairs in which a negative stands above a positive
    return 1 - above / (positives * negatives)


def _average_precision(scores: Tensor, positive: Tensor, known: Tensor) -> Tensor:
    ordered, order = scores.sort(1, descending=True)
    _, last = _tied(ordered)
    hit = positive.gather(1, order)
    precision = hit.cumsum(1).gather(1, last).double() / (last + 1)
    return (precision * hit).sum(1) / hit.sum(1)


def _tied(ordered: Tensor) -> tuple[Tensor, Tensor]:
    """First and last place (classes, N) of the group of equal scores at each place of sorted rows."""
    places = torch.arange(ordered.shape[1]).expand_as(ordered)
    changes = ordered[:, 1:] != ordered[:, :-1]
    edge = torch.ones_like(ordered[:, :1], dtype=torch.bool)
    first = places.where(torch.cat([edge, changes], 1), 0).cummax(1).values
    end = places.where(torch.cat([changes, edge], 1), ordered.shape[1])
    return first, end.flip(1).cummin(1).values.flip(1)
