"""Splits by hand, and what no split may ever do: let a training label meet a test one."""

from __future__ import annotations

from collections import Counter
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimes.engine.validation.splits import (
    Split,
    combinatorial,
    paths,
    purged_k_fold,
    walk_forward,
    walk_forward_days,
)
from topology.errors import BadInputError


def bars(text: str) -> list[int]:
    """Return the bars of ``"6,14-23"``."""
    parts = (part.partition("-") for part in text.split(",") if part)
    return [bar for a, _, b in parts for bar in range(int(a), int(b or a) + 1)]


def told(splits: list[Split]) -> list[tuple[list[int], list[int]]]:
    return [(split.train.tolist(), split.test.tolist()) for split in splits]


def test_rolling_windows_leave_the_purged_bar_out() -> None:
    assert told(walk_forward(24, train=8, test=4, purge=1)) == [
        (bars("0-7"), bars("9-12")),
        (bars("4-11"), bars("13-16")),
        (bars("8-15"), bars("17-20")),
    ]


def test_expanding_windows_keep_the_beginning() -> None:
    assert told(walk_forward(16, train=4, test=4, expanding=True)) == [
        (bars("0-3"), bars("4-7")),
        (bars("0-7"), bars("8-11")),
        (bars("0-11"), bars("12-15")),
    ]


def test_a_step_longer_than_the_test_skips_bars() -> None:
    found = walk_forward(20, train=4, test=2, step=6)
    assert told(found) == [
        (bars("0-3"), bars("4-5")),
        (bars("6-9"), bars("10-11")),
        (bars("12-15"), bars("16-17")),
    ]


# Six groups of four bars, labels one bar long, embargo one bar: what each choice may train on.
TWENTY_FOUR = {
    (0, 1): "10-23",
    (0, 2): "6,14-23",
    (1, 2): "0-2,14-23",
    (4, 5): "0-14",
    (0, 5): "6-18",
}


@pytest.mark.parametrize(("chosen", "train"), TWENTY_FOUR.items())
def test_combinatorial_splits_by_hand(chosen: tuple[int, ...], train: str) -> None:
    splits = combinatorial(24, groups=6, held_out=2, purge=1, embargo=1)
    assert len(splits) == 15
    (split,) = (split for split in splits if split.groups == chosen)
    assert split.train.tolist() == bars(train)
    assert split.test.tolist() == [
        bar for group in chosen for bar in range(4 * group, 4 * group + 4)
    ]


def test_k_fold_is_the_combinatorial_split_of_one_group() -> None:
    first, *_, last = purged_k_fold(10, folds=5, purge=2, embargo=1)
    assert told([first, last]) == [(bars("5-9"), bars("0-1")), (bars("0-5"), bars("8-9"))]


def test_labels_may_have_lengths_of_their_own() -> None:
    ends = np.array([0, 5, 2, 3, 4, 5, 6, 7])  # the label of bar 1 is known at bar 5 only
    found = purged_k_fold(8, folds=4, label_end=ends)
    assert told(found)[2] == (bars("0,2-3,6-7"), bars("4-5"))
    assert told(found)[0] == (bars("6-7"), bars("0-1"))


@pytest.mark.parametrize(
    ("groups", "held_out", "splits", "count"), [(6, 2, 15, 5), (10, 2, 45, 9), (10, 8, 45, 36)]
)
def test_paths_hold_every_group_once(groups: int, held_out: int, splits: int, count: int) -> None:
    found = paths(groups, held_out)
    assert (comb(groups, held_out), len(found)) == (splits, count)
    used = Counter((split, group) for path in found for group, split in enumerate(path))
    assert len(used) == groups * count  # nobody's test bars are used twice
    assert set(used.values()) == {1}


@given(
    count=st.integers(10, 80),
    groups=st.integers(2, 6),
    data=st.data(),
    purge=st.integers(0, 3),
    embargo=st.integers(0, 3),
)
def test_no_training_label_meets_a_test_label(
    count: int, groups: int, data: st.DataObject, purge: int, embargo: int
) -> None:
    held_out = data.draw(st.integers(1, groups - 1))
    ends = np.minimum(np.arange(count) + purge, count - 1)
    try:
        splits = combinatorial(
            count, groups=groups, held_out=held_out, embargo=embargo, label_end=ends
        )
    except BadInputError:
        return  # the groups are too small for this purge
    for split in splits:
        assert not set(split.train) & set(split.test)
        gap = split.train[:, None] - split.test[None, :]
        reach = np.where(gap > 0, ends[split.test][None, :], ends[split.train][:, None])
        later = np.maximum(split.train[:, None], split.test[None, :])
        assert (reach < later).all()
        for bar in split.train:  # and none stands right behind a test block
            assert not set(range(bar - embargo, bar)) & set(split.test)


@pytest.mark.parametrize(
    ("call", "path"),
    [
        pytest.param(lambda: walk_forward(10, train=8, test=4), "train", id="too few bars"),
        pytest.param(lambda: walk_forward(10, train=0, test=4), "train", id="no training"),
        pytest.param(lambda: walk_forward(10, train=2, test=2, purge=-1), "purge", id="purge"),
        pytest.param(lambda: walk_forward(10, train=2, test=2, step=0), "step", id="step"),
        pytest.param(lambda: purged_k_fold(10, folds=1), "groups", id="one fold"),
        pytest.param(lambda: purged_k_fold(4, folds=2, purge=9), "groups", id="all purged"),
        pytest.param(lambda: combinatorial(9, groups=3, held_out=3), "held_out", id="all held"),
        pytest.param(
            lambda: purged_k_fold(4, folds=2, label_end=np.zeros(4, np.int64)),
            "label_end",
            id="a label before its bar",
        ),
    ],
)
def test_what_cannot_be_split_says_why(call: object, path: str) -> None:
    with pytest.raises(BadInputError) as raised:
        call()  # type: ignore[operator]
    assert raised.value.facts["errors"][0]["path"] == path


@pytest.mark.parametrize(
    ("expanding", "trains", "tests"),
    [
        pytest.param(False, [[0, 4], [3, 6]], [[5, 6], [7, 9]], id="rolling"),
        pytest.param(True, [[0, 4], [0, 6]], [[5, 6], [7, 9]], id="expanding"),
    ],
)
def test_windows_of_days_hold_the_bars_of_these_days(
    expanding: bool, trains: list[list[int]], tests: list[list[int]]
) -> None:
    """Bars end on days 0 0 1 2 3 5 5 7 7 8: train days 0-4, test 5-6; then 2-6 and 7-8."""
    day = 86_400 * 10**9
    ends = np.array([0, 0, 1, 2, 3, 5, 5, 7, 7, 8]) * day + np.arange(1, 11) * 10**9

    found = walk_forward_days(ends, train=5, test=2, expanding=expanding)

    assert [[int(s.train[0]), int(s.train[-1])] for s in found] == trains
    assert [[int(s.test[0]), int(s.test[-1])] for s in found] == tests


def test_days_without_bars_make_no_window() -> None:
    with pytest.raises(BadInputError, match="cannot split"):
        walk_forward_days(np.array([1, 2]), train=1, test=1)
