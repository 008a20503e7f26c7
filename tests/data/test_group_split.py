"""Parts by whole groups: nothing straddles, shares are near, and what cannot be done is said."""

import numpy as np
import pytest

from zoo.data.group_split import check_groups, shared_groups, split_off_groups
from zoo.errors import DataError


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("rows", "groups", "fraction"), [(1000, 200, 0.1), (1000, 30, 0.2), (50, 20, 0.1), (12, 4, 0.3)]
)
def test_groups_stay_whole_and_shares_are_near(rows: int, groups: int, fraction: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    member = np.asarray([f"g{g}" for g in rng.integers(0, groups, rows)], dtype=object)
    labels = rng.integers(0, 3, rows)
    kept, taken = split_off_groups(labels, member, fraction, seed)
    assert sorted([*kept, *taken]) == list(range(rows))
    assert not set(member[kept]) & set(member[taken])
    largest = max(np.unique(member, return_counts=True)[1])
    assert 0 < len(taken) <= fraction * rows + largest
    assert set(labels[kept]) == set(labels)
    if rows == 1000:
        assert abs(len(taken) - fraction * rows) <= largest
        shares = np.bincount(labels[taken], minlength=3) / np.bincount(labels)
        assert np.abs(shares - fraction).max() < 0.06


def test_one_seed_gives_one_part() -> None:
    member = np.arange(100) // 2
    parts = [split_off_groups(np.arange(100) % 2, member, 0.2, seed)[1].tolist() for seed in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]


def test_labels_of_several_classes_keep_their_shares() -> None:
    rng = np.random.default_rng(0)
    strata, member = rng.random((600, 4)) < 0.3, rng.integers(0, 150, 600)
    _, taken = split_off_groups(strata, member, 0.2, 0)
    assert np.abs(strata[taken].sum(0) / strata.sum(0) - 0.2).max() < 0.05


def test_the_only_group_of_a_class_stays() -> None:
    labels, member = np.array([0, 1, 1, 1, 1, 1]), np.array([9, 9, 1, 2, 3, 4])
    for seed in range(5):
        kept, _ = split_off_groups(labels, member, 0.5, seed)
        assert 0 in kept


def test_groups_are_left_for_the_next_part() -> None:
    labels, member = np.array([0, 1] * 3), np.array([0, 0, 1, 1, 2, 2])
    kept, taken = split_off_groups(labels, member, 0.9, 0, leave=2)
    assert (len(kept), len(taken)) == (4, 2)


def test_what_cannot_be_divided() -> None:
    with pytest.raises(DataError, match="no group can leave the training split"):
        split_off_groups(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), 0.5, 0)
    with pytest.raises(DataError) as problem:
        check_groups(np.array(["a", "a"], dtype=object), ["test", "validation"], "train")
    assert str(problem.value) == (
        "data.group_column: the split 'train' has 1 group, which cannot be divided into train, test and validation. "
        "Name splits: data.splits.test=NAME data.splits.validation=NAME"
    )
    check_groups(np.array(["a"], dtype=object), [], "train")


def test_groups_in_two_of_the_sources_own_splits_are_told() -> None:
    members = {"train": ["a", "b", "c"], "test": ["b", "c"], "validation": ["d"]}
    found = shared_groups({kind: np.asarray(names, dtype=object) for kind, names in members.items()})
    assert found == ["train and test share 2 groups, such as 'b'; figures of test may be too good"]
