"""What a backtest's result says: both profiles of statistics, from what is stored of it.

Beside the stored curve, fills, orders, trades and positions this looks at bars only where nothing
else knows: closes of benchmark and factors, volume, and the returns that followed a signal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtimes.backtest import bars
from runtimes.engine import factors, information, metrics, summary
from runtimes.engine.arrays import Floats, Ints
from runtimes.engine.capacity import capacity
from runtimes.engine.lean import profile as lean
from runtimes.engine.lean.statistics import Rates
from runtimes.engine.results import Result
from runtimes.engine.summary import Looked
from runtimes.specs.backtest import BacktestSpec
from runtimes.strategies import STRATEGIES

Count = Callable[[float | None], Looked]


@dataclass(frozen=True, slots=True)
class LeanFacts:
    """What Lean's statistics take from outside the result; None is the run's own benchmark."""

    benchmark: tuple[Ints, Floats] | None = None
    rates: Rates = lean.NO_RATES
    trading_days: int = 252


def measure(
    spec: BacktestSpec,
    window: bars.Window,
    result: Result,
    *,
    count: Count | None = None,
    facts: LeanFacts | None = None,
) -> dict[str, Any]:
    """Return the statistics of a result, whole or partial: `standard` flat, Lean's below ``lean``.

    ``count`` takes the run's Sharpe ratio and says among how many trials it was chosen; without it
    the run is the only one.
    """
    benchmark = window.benchmark
    if benchmark is not None:
        benchmark = benchmark[window.first : window.first + len(result.timestamps)]
    found = summary.summarise(
        result,
        cash=spec.portfolio.cash,
        periods_per_year=spec.periods_per_year,
        benchmark=benchmark,
        seed=spec.seed,
    )
    looked = Looked() if count is None else count(found["sharpe"])
    return {
        **found,
        **summary.deflated(found, looked, periods_per_year=spec.periods_per_year),
        **summary.plain(_of_bars(spec, window, result)),
        "lean": _lean(spec, result, benchmark, facts or LeanFacts()),
    }


def _of_bars(spec: BacktestSpec, window: bars.Window, result: Result) -> summary.Numbers:
    """Return what needs bars beside the result: capacity, factors, what the signal knew."""
    market, curve, times = window.market, result.curve, result.timestamps
    stretch = slice(window.first, window.first + times.size)
    found: summary.Numbers = {
        "capacity": capacity(times, curve.equity, result.fills, market, window.symbols)
    }
    if window.factors is not None:
        names, returns = window.factors
        own = metrics.returns_of(curve.equity, start=spec.portfolio.cash)
        explained = factors.regress(own, returns[stretch])
        found |= factors.measures(names, explained, periods_per_year=spec.periods_per_year)
    signal = spec.strategy.member.signal
    ours = STRATEGIES.origin(spec.strategy.name) is None  # other people's code runs elsewhere
    if signal is not None and ours:
        known = signal(window.view, spec.strategy.params)
        found |= information.measures(known[stretch], market.close[stretch])
    return found


def _lean(
    spec: BacktestSpec, result: Result, closes: Floats | None, facts: LeanFacts
) -> Mapping[str, float | int | None]:
    benchmark = facts.benchmark
    if benchmark is None:
        benchmark = lean.NO_BENCHMARK if closes is None else _known(result.timestamps, closes)
    found = lean.measured(
        result,
        cash=spec.portfolio.cash,
        start=spec.data.start,
        end=spec.data.end,
        benchmark=benchmark,
        rates=facts.rates,
        trading_days=facts.trading_days,
    )
    return summary.plain(lean.rounded(found))


def _known(times: Ints, closes: Floats) -> tuple[Ints, Floats]:
    """Return the benchmark's own bars, or one that never moves where it has none."""
    there = ~np.isnan(closes)
    return (times[there], closes[there]) if there.any() else lean.NO_BENCHMARK
