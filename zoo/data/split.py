"""Stratified parts of a labelled set: every class keeps its share, and one seed gives one part."""

import numpy as np

from zoo.errors import DataError


def stratified(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Sorted indices of `count` rows in which each class has its share of `labels`, and at least one row.

    Shares are rounded by largest remainder. Raises DataError where `count` is below the number of classes.
    """
    classes, sizes = np.unique(labels, return_counts=True)
    if count >= len(labels):
        return np.arange(len(labels))
    if count < len(classes):
        raise DataError(f"{count} images cannot hold all {len(classes)} classes. Take at least {len(classes)}")
    rng = np.random.default_rng(seed)
    taken = [
        rng.permutation(np.flatnonzero(labels == c))[:k] for c, k in zip(classes, _shares(sizes, count), strict=True)
    ]
    return np.sort(np.concatenate(taken))


def _shares(sizes: np.ndarray, count: int) -> np.ndarray:
    exact = sizes * count / sizes.sum()
    shares = np.clip(np.floor(exact), 1, sizes).astype(int)
    order = np.argsort(-(exact - np.floor(exact)), kind="stable")
    while shares.sum() != count:
        step = 1 if shares.sum() < count else -1
        room = (shares < sizes) if step > 0 else (shares > 1)
        if step < 0:
            shares[np.argmax(np.where(room, shares, 0))] -= 1
            continue
        for i in order[room[order]]:
            if shares.sum() == count:
                break
            shares[i] += 1
    return shares


def carve(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(kept, carved): a stratified share of the rows taken out. Raises DataError where a class has too few rows."""
    classes, sizes = np.unique(labels, return_counts=True)
    if sizes.min() < 2:
        raise DataError(
            f"class number {classes[sizes.argmin()]} has a single image, so no validation split can be taken from train. "
            f"Add images or name a split: data.splits.validation=NAME"
        )
    carved = stratified(labels, max(len(classes), round(len(labels) * fraction)), seed)
    kept = np.setdiff1d(np.arange(len(labels)), carved)
    if len(np.unique(labels[kept])) < len(classes):
        raise DataError(f"{len(labels)} training images are too few to take {fraction:.0%} of them out. Add images")
    return kept, carved
