"""Walk-forward: the best trial of each training set, judged on bars that it was not chosen on.

Every training window is one single run of each trial and every test window one of the chosen trial,
begun flat with the spec's cash. The test windows of a path, one after the other, are the curve that
the run is judged by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtimes.backtest import playing, scoring
from runtimes.backtest.playing import Ground, Players, Span
from runtimes.backtest.scoring import Score
from runtimes.backtest.sweep import Trials
from runtimes.backtest.trial_tables import PATH, TrialTables
from runtimes.engine.arrays import Floats, Ints
from runtimes.engine.errors import NotEnoughHistoryError
from runtimes.engine.validation import splits, stability
from runtimes.engine.validation.splits import Split
from runtimes.specs.walk_forward import WalkForward


@dataclass(frozen=True, slots=True)
class Fold:
    """One split: the trial chosen on its training bars, and that trial's test blocks (begun flat).

    ``inside`` and ``outside`` are the chosen trial's scores, ``ratios`` the Sharpe ratios of every
    trial on the training bars; empty where an earlier split's choice was kept.
    """

    chosen: int
    inside: Score
    outside: Score
    blocks: tuple[Score, ...]
    ratios: tuple[float | None, ...] = ()


def split(walk: WalkForward, timestamps: Ints) -> list[Split]:
    """Return the splits of the traded bars at ``timestamps`` (T,); ``bad_splits`` without any."""
    bars = len(timestamps)
    if walk.windowed:
        windows: dict[str, Any] = {
            "train": walk.train,
            "test": walk.test,
            "step": walk.step,
            "purge": walk.purge + walk.embargo,
            "expanding": walk.mode == "expanding",
        }
        if walk.unit == "bars":
            return splits.walk_forward(bars, **windows)
        return splits.walk_forward_days(timestamps, **windows)
    return splits.combinatorial(
        bars,
        groups=walk.groups or 2,
        held_out=walk.test_groups or 1,
        purge=walk.purge,
        embargo=walk.embargo,
    )


def check_history(found: Sequence[Split], warmup: int) -> None:
    """Raise ``not_enough_history`` where a split trains on fewer bars than a trial looks back."""
    for number, one in enumerate(found):
        if one.train.size < warmup:
            raise NotEnoughHistoryError(
                f"Split {number} trains on {one.train.size} bars, {warmup} are looked back.",
                hint="Train on more bars, take fewer groups, or a smaller purge and embargo.",
                errors=[
                    {
                        "path": "walk_forward",
                        "value": int(one.train.size),
                        "problem": f"At least {warmup} bars are needed to train on.",
                    }
                ],
            )


def walked(
    walk: WalkForward,
    trials: Trials,
    players: Players,
    lay: Callable[[Sequence[Span]], Ground],
    found: Sequence[Split],
    *,
    tables: TrialTables,
    known: Mapping[tuple[str, int], Score],
) -> list[Fold]:
    """Return a fold for each of the splits ``found``; rows of all that was tried go to ``tables``.

    ``lay`` makes the ground of some spans. ``known`` are scores by split and trial that an earlier
    run found: those trainings are not played again.
    """
    trainings = [number for number in range(len(found)) if number % walk.retrain == 0]
    total, done = len(trainings) * len(trials) + len(found), 0
    folds: list[Fold] = []
    chosen, inside = 0, None
    for number, one in enumerate(found):
        scores: list[Score] = []
        if inside is None or number % walk.retrain == 0:
            name = f"in-{number:03d}"
            fresh = players.scores(
                [t for t in trials if (name, t.number) not in known], lay(spans(one.train))
            )
            for trial in trials:
                score = known.get((name, trial.number)) or next(fresh)
                tables.add(score, trial.params, split=name)
                scores.append(score)
                done += 1
                players.report(trial.number, done, total)
            inside = _best(scores, walk.select)
            chosen = inside.trial
        tested = spans(one.test) if walk.windowed else blocks(walk, found, one)
        parts = [next(players.scores([trials[chosen]], lay([span]))) for span in tested]
        outside = joined(parts, trials, chosen)
        tables.add(outside, trials[chosen].params, split=f"out-{number:03d}")
        done += 1
        players.report(chosen, done, total)
        tried = tuple(score.statistics.get("sharpe") for score in scores)
        folds.append(Fold(chosen, inside, outside, tuple(parts), tried))
    return folds


def paths(walk: WalkForward, folds: Sequence[Fold], trials: Trials) -> list[Score]:
    """Return the stitched curves: one, or with CPCV as many as hold every group once."""
    if walk.windowed:
        routes = [[block for fold in folds for block in fold.blocks]]
    else:
        groups, held_out = walk.groups or 2, walk.test_groups or 1
        places = _places(groups, held_out)
        routes = [
            [folds[fold].blocks[places[fold][group]] for group, fold in enumerate(path)]
            for path in splits.paths(groups, held_out)
        ]
    return [joined(route, trials, PATH) for route in routes]


def joined(parts: Sequence[Score], trials: Trials, number: int) -> Score:
    """Return the score of test blocks one after the other; the first that failed is the result."""
    for part in parts:
        if part.failed:
            return part
    spec = trials[0].spec
    cash = spec.portfolio.cash
    ends = [trials[part.trial].spec.portfolio.cash for part in parts]
    curves = [part.equity * (cash / own) for part, own in zip(parts, ends, strict=True)]
    equity = scoring.chained(curves, cash=cash)
    times = scoring.closed_up([part.timestamps for part in parts])
    statistics = scoring.measured(equity, times, cash=cash, periods_per_year=spec.periods_per_year)
    return Score(number, np.concatenate([p.timestamps for p in parts]), equity, statistics)


def judged(walk: WalkForward, folds: Sequence[Fold], found: Sequence[Score]) -> dict[str, Any]:
    """Return the statistics of the walk as a whole: what was lost out of sample, and the paths."""
    inside = [fold.inside.statistics.get(walk.select) for fold in folds]
    outside = [fold.outside.statistics.get(walk.select) for fold in folds]
    before, after = _mean(inside), _mean(outside)
    return {
        "select": walk.select,
        "splits": [
            {"split": n, "trial": fold.chosen, "in_sample": a, "out_of_sample": b}
            for n, (fold, a, b) in enumerate(zip(folds, inside, outside, strict=True))
        ],
        "degradation": {
            "in_sample": before,
            "out_of_sample": after,
            "ratio": after / before if before and after is not None else None,
            "slope": stability.slope(inside, outside),
        },
        "paths": _distribution([path.statistics.get("sharpe") for path in found]),
    }


def ratios(folds: Sequence[Fold]) -> list[float | None]:
    """Return each trial's annualised Sharpe ratio: the mean of those on its training sets.

    Whole trials are compared, not short windows: a few weeks' ratios spread widely by luck alone.
    """
    trained = [fold.ratios for fold in folds if fold.ratios]
    return [_mean(own) for own in zip(*trained, strict=True)]


def median(found: Sequence[Score]) -> Score:
    """Return the path whose Sharpe ratio is the (lower) median: the run's own curve."""
    order = sorted(found, key=lambda path: path.value("sharpe"))
    return order[(len(order) - 1) // 2]


def spans(bars: Ints) -> list[Span]:
    """Return the runs of consecutive ``bars`` as spans."""
    cuts = np.flatnonzero(np.diff(bars) > 1) + 1
    return [(int(run[0]), int(run[-1]) + 1) for run in np.split(bars, cuts)]


def blocks(walk: WalkForward, found: Sequence[Split], one: Split) -> list[Span]:
    """Return one span for each group that ``one`` tests: paths take them apart."""
    bars = 1 + max(int(split.test[-1]) for split in found)
    cut = np.array_split(np.arange(bars), walk.groups or 2)
    return [(int(cut[group][0]), int(cut[group][-1]) + 1) for group in one.groups]


def _places(groups: int, held_out: int) -> list[dict[int, int]]:
    """Return for each split where among its test blocks each of its groups is."""
    chosen = splits.held_out_groups(groups, held_out)
    return [{group: place for place, group in enumerate(own)} for own in chosen]


def _best(scores: Sequence[Score], select: str) -> Score:
    if all(score.failed for score in scores):
        raise playing.failure(scores[0])
    return scoring.best(scores, select)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _distribution(values: Sequence[float | None]) -> dict[str, Any]:
    known: Floats = np.array([value for value in values if value is not None])
    told: dict[str, Any] = {"count": len(values), "sharpe": list(values)}
    if known.size:
        told |= {
            "mean": float(known.mean()),
            "deviation": float(known.std(ddof=1)) if known.size > 1 else None,
            "least": float(known.min()),
            "most": float(known.max()),
            "below_zero": float((known < 0).mean()),
        }
    return told
