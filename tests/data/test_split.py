"""Stratified parts: shares, seeds and limits."""

from collections import Counter

import numpy as np
import pytest

from zoo.data.split import evenly, limited, split_off, stratified
from zoo.errors import DataError

SIZES = [(50, 50), (100, 10, 1), (3, 3, 3), (1, 1, 1, 1), (997, 2, 1), (7, 13, 29, 31), (1000,) * 10]


def labels_of(sizes: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(9).permutation(np.repeat(np.arange(len(sizes)), sizes))


@pytest.mark.parametrize("sizes", SIZES)
def test_every_class_keeps_its_share_and_at_least_one(sizes: tuple[int, ...]) -> None:
    labels = labels_of(sizes)
    for count in {len(sizes), len(sizes) + 1, len(labels) // 2, len(labels) - 1, len(labels), len(labels) + 5}:
        if count < len(sizes):
            continue
        rows = stratified(labels, count, 0)
        assert len(rows) == min(count, len(labels))
        assert (np.diff(rows) > 0).all()
        taken = np.bincount(labels[rows], minlength=len(sizes))
        assert taken.min() >= 1
        exact = np.array(sizes) * len(rows) / len(labels)
        forced = np.maximum(1 - exact, 0).sum()
        assert np.abs(taken - np.maximum(exact, 1)).max() <= max(1, forced)


@pytest.mark.parametrize(
    ("sizes", "count", "shares"),
    [((50, 30, 20), 10, [5, 3, 2]), ((10, 10, 10), 4, [2, 1, 1]), ((997, 2, 1), 10, [8, 1, 1]), ((5, 4), 3, [2, 1])],
)
def test_shares_by_largest_remainder(sizes: tuple[int, ...], count: int, shares: list[int]) -> None:
    labels = labels_of(sizes)
    assert np.bincount(labels[stratified(labels, count, 0)]).tolist() == shares


def test_one_seed_gives_one_part() -> None:
    labels = labels_of((200, 100))
    assert stratified(labels, 30, 1).tolist() == stratified(labels, 30, 1).tolist()
    assert stratified(labels, 30, 1).tolist() != stratified(labels, 30, 2).tolist()


def test_every_row_of_a_class_is_equally_likely() -> None:
    labels = labels_of((40, 10))
    taken = Counter(row for seed in range(400) for row in stratified(labels, 25, seed).tolist())
    assert min(taken.values()) > 140 and max(taken.values()) < 260


def test_too_few_rows_for_the_classes() -> None:
    with pytest.raises(DataError) as problem:
        stratified(labels_of((9, 9, 9)), 2, 0)
    assert str(problem.value) == "2 images cannot hold all 3 classes. Take at least 3"


@pytest.mark.parametrize("leave", [1, 2])
@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.5, 0.999])
@pytest.mark.parametrize("sizes", [s for s in SIZES if min(s) > 2])
def test_carving_parts_the_rows_and_leaves_some_of_each_class(
    sizes: tuple[int, ...], fraction: float, leave: int
) -> None:
    labels = labels_of(sizes)
    kept, carved = split_off(labels, fraction, 5, leave)
    assert sorted([*kept, *carved]) == list(range(len(labels)))
    assert np.bincount(labels[kept], minlength=len(sizes)).min() >= leave
    assert np.bincount(labels[carved], minlength=len(sizes)).min() >= 1
    wanted = max(len(sizes), round(len(labels) * fraction))
    assert len(carved) == min(wanted, len(labels) - leave * len(sizes))


def labelled(rates: tuple[float, ...], rows: int = 400) -> np.ndarray:
    return np.random.default_rng(3).random((rows, len(rates))) < np.asarray(rates)


@pytest.mark.parametrize("rates", [(0.5, 0.3, 0.1), (0.9, 0.02), (0.05,) * 8, (0.0, 0.4)])
@pytest.mark.parametrize("count", [1, 40, 133, 399])
def test_every_label_keeps_its_share(rates: tuple[float, ...], count: int) -> None:
    strata = labelled(rates)
    rows = evenly(strata, count, 0)
    assert len(rows) == count and (np.diff(rows) > 0).all()
    wanted = strata.sum(0) * count / len(strata)
    assert np.abs(strata[rows].sum(0) - wanted).max() <= 3
    assert rows.tolist() == evenly(strata, count, 0).tolist()
    if count == 40:
        assert rows.tolist() != evenly(strata, count, 1).tolist()


def test_rare_labels_are_spread_better_than_by_chance() -> None:
    strata = labelled((0.02,) * 10, 1000)
    by_chance = np.sort(np.random.default_rng(0).permutation(1000)[:200])
    wanted = strata.sum(0) / 5
    off = [np.abs(strata[rows].sum(0) - wanted).mean() for rows in (evenly(strata, 200, 0), by_chance)]
    assert off[0] < 1 < off[1]


def test_labels_are_split_off() -> None:
    kept, taken = split_off(labelled((0.4, 0.1)), 0.1, 5)
    assert sorted([*kept, *taken]) == list(range(400)) and len(taken) == 40
    kept, taken = split_off(labelled((0.4, 0.1), 3), 0.9, 5, leave=2)
    assert (len(kept), len(taken)) == (2, 1)
    assert limited(labelled((0.4, 0.1)), 30, 0).tolist() == evenly(labelled((0.4, 0.1)), 30, 0).tolist()
