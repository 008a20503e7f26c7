"""Parts of a split by whole groups, such as all images of one patient: no group stands on both sides."""

from collections.abc import Mapping, Sequence

import numpy as np

from zoo.errors import DataError


def split_off_groups(
    strata: np.ndarray, groups: np.ndarray, fraction: float, seed: int, leave: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """(kept, taken): sorted indices of the rows, with about `fraction` of all rows and of each class taken out.

    strata: class numbers (N,), or labels bool (N, K); groups: (N,). Groups are considered from the largest to the
    smallest, equal ones in an order drawn by `seed`; a group is taken where that brings rows and classes nearer to their
    shares. At least one group is taken and `leave` are kept, among them one of each class.
    Raises DataError where that cannot be done.
    """
    names, member = np.unique(groups, return_inverse=True)
    counts = _counts(strata, member, len(names))
    goal, scale = fraction * counts.sum(0), 1 / np.maximum(counts.sum(0), 1)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order, -1], kind="stable")]
    holders, kept_at_least = (counts > 0).sum(0), np.ones(counts.shape[1], int)
    kept_at_least[-1] = leave
    total, taken = np.zeros(counts.shape[1]), np.zeros(len(names), bool)

    def distance(rows: np.ndarray) -> float:
        return float((((goal - rows) * scale) ** 2).sum())

    def is_free(group: int) -> bool:
        has = counts[group] > 0
        return bool((holders[has] > kept_at_least[has]).all())

    for group in order:
        if is_free(group) and distance(total + counts[group]) < distance(total):
            taken[group], total = True, total + counts[group]
            holders = holders - (counts[group] > 0)
    if not taken.any():
        free = [group for group in order if is_free(group)]
        if not free:
            raise DataError(
                "data.group_column: no group can leave the training split, since each holds the only images of some class. "
                "Name splits instead: data.splits.validation=NAME data.splits.test=NAME"
            )
        taken[min(free, key=lambda group: distance(counts[group]))] = True
    return np.flatnonzero(~taken[member]), np.flatnonzero(taken[member])


def _counts(strata: np.ndarray, member: np.ndarray, groups: int) -> np.ndarray:
    """Rows of each class in each group, and in the last column all its rows: (groups, K + 1)."""
    if strata.ndim == 1:
        classes, strata = np.unique(strata, return_inverse=True)
        counts = np.zeros((groups, len(classes) + 1))
        np.add.at(counts, (member, strata), 1)
    else:
        counts = np.zeros((groups, strata.shape[1] + 1))
        np.add.at(counts[:, :-1], member, strata)
    counts[:, -1] = np.bincount(member, minlength=groups)
    return counts


def check_groups(groups: np.ndarray, taken: Sequence[str], name: str) -> None:
    """There are enough groups in the split `name`, which also gives the splits in `taken`. Raises DataError.

    groups: (N,), one for each image.
    """
    count = len(set(groups))
    if taken and count <= len(taken):
        splits = " ".join(f"data.splits.{kind}=NAME" for kind in taken)
        raise DataError(
            f"data.group_column: the split '{name}' has {count} {'group' if count == 1 else 'groups'}, which cannot be "
            f"divided into train, {' and '.join(taken)}. Name splits: {splits}"
        )


def shared_groups(groups: Mapping[str, np.ndarray]) -> list[str]:
    """A warning for each two of the source's own splits that have groups in common."""
    kinds, found = list(groups), []
    for i, one in enumerate(kinds):
        for other in kinds[i + 1 :]:
            if both := set(groups[one]) & set(groups[other]):
                count = f"{len(both)} group{'s' if len(both) > 1 else ''}"
                found.append(
                    f"{one} and {other} share {count}, such as '{min(both)}'; figures of {other} may be too good"
                )
    return found
