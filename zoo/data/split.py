"""Stratified parts of a labelled set: every class keeps its share, and one seed gives one part."""

import numpy as np

from zoo.errors import DataError


def stratified(labels: np.ndarray, count: int, seed: int, leave: int = 0) -> np.ndarray:
    """Sorted indices of `count` rows in which each class has its share of `labels`, and at least one row.

    Shares are rounded by largest remainder. leave: rows of each class that are not taken.
    Raises DataError where `count` is below the number of classes.
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


def split_off(labels: np.ndarray, fraction: float, seed: int, leave: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """(kept, carved): a stratified share of the rows taken out, at least one and never the last `leave` of a class.

    Every class needs more than `leave` rows.
    """
    carved = stratified(labels, max(len(np.unique(labels)), round(len(labels) * fraction)), seed, leave)
    return np.setdiff1d(np.arange(len(labels)), carved), carved
