"""Which bars train and which test: walk-forward, purged k-fold, combinatorial purged splits.

Bars count from 0 to T-1. A label at bar i is known at ``label_end[i]`` (i itself where nothing is
given): a training bar is purged where its label's interval meets that of a test bar, and the
embargo drops further bars after each test block, because series remember
(Lopez de Prado, Advances in Financial Machine Learning, 2018, chapters 7 and 12).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from runtimes.engine.arrays import Ints
from runtimes.engine.errors import BadSplitsError

DAY_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Split:
    """Bars to fit on and bars to judge on; sorted, without a common one. ``groups`` of CPCV."""

    train: Ints
    test: Ints
    groups: tuple[int, ...] = ()


def walk_forward(
    bars: int,
    *,
    train: int,
    test: int,
    step: int | None = None,
    purge: int = 0,
    expanding: bool = False,
) -> list[Split]:
    """Return rolling (or expanding) windows: ``train`` bars, ``purge`` bars of nothing, ``test``.

    The next window starts ``step`` (None: ``test``) bars later; a test window that would run past
    the end is not made. Too few bars for one window raise.
    """
    _positive(train=train, test=test, step=test if step is None else step)
    _refuse(purge < 0, "purge", purge, "Write 0 or more bars.")
    _refuse(
        train + purge + test > bars,
        "train",
        train,
        f"One window needs {train + purge + test} bars; there are {bars}.",
    )
    moves = range(0, bars - train - purge - test + 1, test if step is None else step)
    return [
        Split(
            np.arange(0 if expanding else start, start + train, dtype=np.int64),
            np.arange(start + train + purge, start + train + purge + test, dtype=np.int64),
        )
        for start in moves
    ]


def walk_forward_days(
    timestamps: Ints,
    *,
    train: int,
    test: int,
    step: int | None = None,
    purge: int = 0,
    expanding: bool = False,
) -> list[Split]:
    """Return `walk_forward` windows of so many calendar days of bars at ``timestamps`` (T,) ns.

    Days count from the UTC day of the first bar. A window in which no bar trains or tests is left
    out; the last test window must end within the data.
    """
    _positive(train=train, test=test, step=test if step is None else step)
    _refuse(purge < 0, "purge", purge, "Write 0 or more days.")
    days = (timestamps - 1) // DAY_NS
    days = days - days[0]
    whole = int(days[-1]) + 1
    needed = train + purge + test
    _refuse(needed > whole, "train", train, f"One window needs {needed} days; there are {whole}.")
    found = []
    for start in range(0, whole - needed + 1, test if step is None else step):
        held = start + train + purge
        edges = np.searchsorted(days, [0 if expanding else start, start + train, held, held + test])
        first, last, begin, end = (int(edge) for edge in edges)
        if last > first and end > begin:
            bars = np.arange(timestamps.size, dtype=np.int64)
            found.append(Split(bars[first:last], bars[begin:end]))
    _refuse(not found, "test", test, "No window has bars to train and to test on.")
    return found


def purged_k_fold(
    bars: int, *, folds: int, purge: int = 0, embargo: int = 0, label_end: Ints | None = None
) -> list[Split]:
    """Return ``folds`` splits, each with one block of consecutive bars for test.

    ``purge`` is the labels' horizon in bars; ``label_end`` (T,) says it bar by bar instead.
    """
    return combinatorial(
        bars, groups=folds, held_out=1, purge=purge, embargo=embargo, label_end=label_end
    )


def combinatorial(
    bars: int,
    *,
    groups: int,
    held_out: int,
    purge: int = 0,
    embargo: int = 0,
    label_end: Ints | None = None,
) -> list[Split]:
    """Return the C(groups, held_out) splits of combinatorial purged cross-validation.

    Bars fall into ``groups`` blocks of equal size (the first ones one bar longer where it does not
    divide). A split without a training bar raises: the groups are too small for the purge.
    """
    _refuse(not 2 <= groups <= bars, "groups", groups, f"Write 2 to {bars} groups.")
    _refuse(not 1 <= held_out < groups, "held_out", held_out, f"Write 1 to {groups - 1}.")
    _refuse(purge < 0, "purge", purge, "Write 0 or more bars.")
    _refuse(embargo < 0, "embargo", embargo, "Write 0 or more bars.")
    ends = _label_ends(bars, purge, label_end)
    blocks = np.array_split(np.arange(bars, dtype=np.int64), groups)
    found = []
    for chosen in held_out_groups(groups, held_out):
        test = np.concatenate([blocks[group] for group in chosen])
        train = _purged(blocks, chosen, ends, embargo)
        _refuse(train.size == 0, "groups", groups, "Purge and embargo leave nothing to train on.")
        found.append(Split(train, test, chosen))
    return found


def paths(groups: int, held_out: int) -> list[tuple[int, ...]]:
    """Return the backtest paths of CPCV: for each path the split that tests each group.

    There are held_out / groups * C(groups, held_out) of them, and each holds every group once.
    """
    splits = held_out_groups(groups, held_out)
    testing = [[i for i, chosen in enumerate(splits) if group in chosen] for group in range(groups)]
    count = math.comb(groups, held_out) * held_out // groups
    return [tuple(testing[group][path] for group in range(groups)) for path in range(count)]


def held_out_groups(groups: int, held_out: int) -> list[tuple[int, ...]]:
    """Return the groups that each split of CPCV tests, in the order of the splits."""
    return list(combinations(range(groups), held_out))


def _label_ends(bars: int, purge: int, given: Ints | None) -> Ints:
    own = np.arange(bars, dtype=np.int64)
    if given is None:
        return own + purge
    ends = np.asarray(given, dtype=np.int64)
    _refuse(ends.shape != (bars,), "label_end", list(ends.shape), f"Give {bars} bars.")
    _refuse(bool((ends < own).any()), "label_end", None, "A label ends at its bar or later.")
    return ends


def _purged(blocks: Sequence[Ints], chosen: tuple[int, ...], ends: Ints, embargo: int) -> Ints:
    kept = np.ones(ends.size, dtype=np.bool_)
    own = np.arange(ends.size)
    for first, last in _runs(blocks, chosen):
        until = int(ends[first : last + 1].max())
        meets = (own <= until) & (ends >= first)
        kept &= ~meets & ~((own > until) & (own <= until + embargo))
    return np.flatnonzero(kept).astype(np.int64)


def _runs(blocks: Sequence[Ints], chosen: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Yield first and last bar of each run of neighbouring test blocks."""
    begin = chosen[0]
    for group, following in zip(chosen, (*chosen[1:], None), strict=True):
        if following != group + 1:
            yield int(blocks[begin][0]), int(blocks[group][-1])
            begin = following if following is not None else begin


def _positive(**values: int) -> None:
    for name, value in values.items():
        _refuse(value < 1, name, value, "Write 1 or more bars.")


def _refuse(wrong: bool, path: str, value: object, problem: str) -> None:
    if wrong:
        raise BadSplitsError(
            f"{path} = {value} cannot split these bars.",
            hint=problem,
            errors=[{"path": path, "value": value, "problem": problem}],
        )
