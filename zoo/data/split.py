"""Stratified parts of a labelled set: every class or label keeps its share, and one seed gives one part."""

import numpy as np

from zoo.errors import DataError


def stratified(labels: np.ndarray, count: int, seed: int, leave: int = 0) -> np.ndarray:
    """Sorted indices of `count` rows in which each class has its share of `labels`, and at least one row.

    Shares are rounded by largest remainder. leave: rows of each class that are not taken.
    Raises DataError where `count` is below the number of classes.
    labels: int64 (N,); the result is int64 (count,).
    """
    classes, sizes = np.unique(labels, return_counts=True)
    if count >= len(labels) and not leave:
        return np.arange(len(labels))
    if count < len(classes):
        raise DataError(f"{count} images cannot hold all {len(classes)} classes. Take at least {len(classes)}")
    rng = np.random.default_rng(seed)
    shares = _shares(sizes, min(count, len(labels) - leave * len(classes)), sizes - leave)
    taken = [rng.permutation(np.flatnonzero(labels == c))[:k] for c, k in zip(classes, shares, strict=True)]
    return np.sort(np.concatenate(taken))


def _shares(sizes: np.ndarray, count: int, most: np.ndarray) -> np.ndarray:
    """How many of each class, from 1 to `most`, nearest to their part of `count`."""
    exact = sizes * count / sizes.sum()
    shares = np.clip(np.floor(exact), 1, most).astype(int)
    while shares.sum() < count:
        shares[np.argmax(np.where(shares < most, exact - shares, -np.inf))] += 1
    while shares.sum() > count:
        shares[np.argmax(np.where(shares > 1, shares - exact, -np.inf))] -= 1
    return shares


def evenly(strata: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Sorted indices of `count` rows in which each label has its share, near enough. strata: bool (N, K).

    The rarest label is dealt out first: each of its rows goes to the side that lacks it most (iterative stratification,
    Sechidis et al., On the stratification of multi-label data, 2011). Rows without any label come last.
    """
    total, rng = len(strata), np.random.default_rng(seed)
    room = np.array([count, total - count], float)
    wanted = room[:, None] * strata.mean(0)
    side, left = np.full(total, -1), strata.sum(0)
    order = rng.permutation(total)
    while left.any():
        rarest = int(np.where(left > 0, left, total + 1).argmin())
        for row in order[strata[order, rarest] & (side[order] < 0)]:
            lacking = np.where(room > 0, wanted[:, rarest], -np.inf)
            best = np.flatnonzero(lacking == lacking.max())
            chosen = best[room[best].argmax()]
            side[row], room[chosen] = chosen, room[chosen] - 1
            wanted[chosen] -= strata[row]
            left -= strata[row]
    rest = order[side[order] < 0]
    side[rest[: int(room[0])]] = 0
    return np.flatnonzero(side == 0)


def limited(strata: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Sorted indices of at most `count` rows with even shares. Raises DataError where `count` is below the classes.

    strata: (N,) or bool (N, K); the result is int64 (M,).
    """
    if count >= len(strata):
        return np.arange(len(strata))
    return evenly(strata, count, seed) if strata.ndim == 2 else stratified(strata, count, seed)


def split_off(strata: np.ndarray, fraction: float, seed: int, leave: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """(kept, taken): a stratified share of the rows taken out. strata: classes (N,), or labels bool (N, K).

    At least one row of each class, which needs more than `leave`, and never the last `leave` of one; of labels at least
    one row and never the last `leave` in all.
    """
    count = round(len(strata) * fraction)
    if strata.ndim == 2:
        taken = evenly(strata, min(max(1, count), len(strata) - leave), seed)
    else:
        taken = stratified(strata, max(len(np.unique(strata)), count), seed, leave)
    return np.setdiff1d(np.arange(len(strata)), taken), taken
