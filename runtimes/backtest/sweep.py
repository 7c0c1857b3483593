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
from runtimes.engine import metrics
from runtimes.engine.arrays import Floats
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


def judged(
    sweep: Sweep, trials: Trials, scores: Sequence[Score], best: Score, *, cash: float
) -> dict[str, Any]:
    """Return the statistics of the best trial, and those of the sweep as a whole.

    Failed trials count as trials, but have no value.
    """
    values = [score.statistics.get(sweep.objective) for score in scores]
    params = [trial.params for trial in trials[: len(scores)]]
    return {
        **told(best, cash=cash),
        "objective": sweep.objective,
        "best_trial": best.trial,
        "best_params": dict(trials[best.trial].params),
        "trials": len(scores),
        "failed_trials": sum(score.failed for score in scores),
        "trial_sharpes": sharpes(scores),
        **_overfitting(scores),
        "parameters": stability.by_value(params, values),
        "heatmap": stability.heatmap(params, values),
    }


def told(score: Score, *, cash: float) -> dict[str, Any]:
    """Return a trial's statistics for the run's row, with the moments of its returns."""
    left_out = ("blocks", "equity_sha")
    own = {name: value for name, value in score.statistics.items() if name not in left_out}
    returns = metrics.returns_of(score.equity, start=cash)
    skew, kurtosis = metrics.moments(returns)
    more = {
        "start_equity": cash,
        "skew": skew,
        "kurtosis": kurtosis,
        "probabilistic_sharpe": metrics.probabilistic_sharpe(returns),
    }
    return {"profile": "standard", **own, **{name: _finite(v) for name, v in more.items()}}


def sharpes(scores: Sequence[Score]) -> dict[str, Any]:
    """Return number, mean and variance (ddof 1) of the trials' annualised Sharpe ratios."""
    found = [score.statistics.get("sharpe") for score in scores]
    numbers = np.array([value for value in found if value is not None], dtype=np.float64)
    return {
        "count": int(numbers.size),
        "mean": float(numbers.mean()) if numbers.size else None,
        "variance": float(numbers.var(ddof=1)) if numbers.size > 1 else None,
    }


def deflated(
    returns: Floats, *, trials: int, variance: float | None, periods_per_year: float
) -> dict[str, Any]:
    """Return the deflated Sharpe ratio of ``returns`` and what it was deflated by.

    ``variance`` is that of the trials' annualised ratios.
    """
    per_bar = (variance or 0.0) / periods_per_year
    threshold = overfitting.expected_best(trials, per_bar)
    return {
        "deflated_sharpe": _finite(metrics.probabilistic_sharpe(returns, benchmark=threshold)),
        "trials_counted": trials,
        "expected_best_sharpe": threshold * math.sqrt(periods_per_year),
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
