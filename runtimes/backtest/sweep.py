"""A sweep: every trial of the spec over the whole period, and how far its best can be believed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runtimes.backtest import playing, scoring
from runtimes.backtest.playing import Ground, Players
from runtimes.backtest.scoring import Score
from runtimes.backtest.trial_tables import TrialTables
from runtimes.engine import summary
from runtimes.engine.validation import overfitting, stability
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.sweep import Sweep
from runtimes.specs.trials import Trial

Trials = Sequence[Trial[BacktestSpec]]


def tried(
    sweep: Sweep,
    trials: Trials,
    players: Players,
    on: Ground,
    *,
    tables: TrialTables,
    known: Mapping[int, Score],
) -> list[Score]:
    """Return the scores of ``trials`` in order, their rows added to ``tables``.

    ``known`` are scores that an earlier run found: those trials are not played again.
    """
    found: list[Score] = []
    fresh = players.scores([t for t in trials if t.number not in known], on)
    for trial in trials:
        score = known.get(trial.number) or next(fresh)
        tables.add(score, trial.params, keep=sweep.kept is None and bool(score.equity.size))
        found.append(Score(score.trial, score.timestamps[:0], score.equity[:0], score.statistics))
        players.report(trial.number, len(found), len(trials))
    return found


def keep_the_best(
    sweep: Sweep,
    trials: Trials,
    scores: Sequence[Score],
    players: Players,
    on: Ground,
    *,
    tables: TrialTables,
) -> Score:
    """Return the best score with its equity, and store that of the ones that ``keep`` names.

    They are played once more: holding every curve until it is known whose are kept would cost
    memory by the trial.
    """
    if all(score.failed for score in scores):
        raise playing.failure(scores[0])
    order = sorted(
        (score for score in scores if not score.failed),
        key=lambda score: (-score.value(sweep.objective), score.trial),
    )
    kept = 0 if sweep.kept is None else sweep.kept
    again = [trials[score.trial] for score in order[: max(kept, 1)]]
    curves = list(players.scores(again, on))
    for score in sorted(curves[:kept], key=lambda score: score.trial):
        tables.keep(score)
    return curves[0]


def judged(sweep: Sweep, trials: Trials, scores: Sequence[Score], best: Score) -> dict[str, Any]:
    """Return the statistics of the best trial, and those of the sweep as a whole.

    Failed trials count as trials, but have no value.
    """
    values = [score.statistics.get(sweep.objective) for score in scores]
    params, own = [trial.params for trial in trials], trials[best.trial].spec
    return {
        **told(best, cash=own.portfolio.cash, periods_per_year=own.periods_per_year),
        "objective": sweep.objective,
        "best_trial": best.trial,
        "best_params": dict(trials[best.trial].params),
        "trials": len(scores),
        "failed_trials": sum(score.failed for score in scores),
        "trial_sharpes": sharpes([score.statistics.get("sharpe") for score in scores]),
        **_overfitting(scores),
        "parameters": stability.by_value(params, values),
        "heatmap": stability.heatmap(params, values),
    }


def told(score: Score, *, cash: float, periods_per_year: float) -> dict[str, Any]:
    """Return all that the equity of a trial or of a path tells, for the run's row."""
    times = score.timestamps
    found = summary.of_curve(score.equity, times, cash=cash, periods_per_year=periods_per_year)
    return {"profile": summary.PROFILE, **summary.plain(found)}


def sharpes(found: Sequence[float | None]) -> dict[str, Any]:
    """Return number, mean and variance (ddof 1) of the trials' annualised Sharpe ratios."""
    numbers = np.array([value for value in found if value is not None], dtype=np.float64)
    return {
        "count": int(numbers.size),
        "mean": float(numbers.mean()) if numbers.size else None,
        "variance": float(numbers.var(ddof=1)) if numbers.size > 1 else None,
    }


def _overfitting(scores: Sequence[Score]) -> dict[str, Any]:
    """Return the probability of overfitting by name, None with fewer than two sound trials."""
    parts = [score.statistics["blocks"] for score in scores if "blocks" in score.statistics]
    if len(parts) < 2:
        return dict.fromkeys(("pbo", "pbo_loss", "pbo_slope"))
    found = overfitting.overfitting(scoring.stacked(parts))
    return {
        "pbo": found.pbo,
        "pbo_loss": found.loss,
        "pbo_slope": _finite(found.slope),
        "pbo_combinations": found.combinations,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
