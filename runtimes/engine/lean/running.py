"""Run a script as QuantConnect Lean runs an algorithm, and tell it in Lean's figures.

outcome = lean_run(script, data, LeanRules(cash=100_000), start=..., end=..., benchmark=...)
outcome.printed["Sharpe Ratio"]         # "17.304", as Lean prints it
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np

from runtimes.engine.arrays import (
    ACTION,
    FIRST_OF_SESSION,
    LAST_OF_SESSION,
    Conditions,
    Floats,
    Ints,
    Targets,
)
from runtimes.engine.lean.data import LeanData, Prices, carried, prepared
from runtimes.engine.lean.desk import LeanDesk
from runtimes.engine.lean.profile import NO_RATES, measured
from runtimes.engine.lean.rules import LeanRules
from runtimes.engine.lean.sampling import ZONE, midnight
from runtimes.engine.lean.statistics import Rates, printed
from runtimes.engine.params import make
from runtimes.engine.results import Result
from runtimes.engine.script import Script
from runtimes.engine.scripting import play
from runtimes.engine.simulation import Simulation
from topology.frames import Progress

CARRIED = 1e12
"""The kernel's leverage: what an account may hold is asked when an order is given, not here."""


@dataclass(frozen=True, slots=True)
class LeanOutcome:
    """A finished run: its records, and Lean's 24 statistics by Lean's names."""

    result: Result
    statistics: dict[str, float]

    @property
    def printed(self) -> dict[str, str]:
        """Return the statistics in the digits that Lean prints."""
        return printed(self.statistics)


class Silent(Progress):
    """A progress that nobody follows."""

    def emit(self, *args: object, **facts: object) -> None:
        """Say nothing."""

    def checkpoint(self) -> None:
        """Go on."""


def lean_run(
    script: Script,
    data: LeanData,
    rules: LeanRules,
    *,
    start: dt.date,
    end: dt.date,
    benchmark: tuple[Ints, Floats],
    rates: Rates = NO_RATES,
    progress: Progress | None = None,
) -> LeanOutcome:
    """Run ``script`` from ``start`` to ``end``, days of New York inclusive.

    ``data`` ends with the run. ``benchmark`` is (times, closes) of bars by their end in ns UTC,
    hourly for SPY. What the script raises becomes `StrategyError`.
    """
    followed = progress or Silent()
    desk, simulation = lean_desk(data, rules, start=start, progress=followed)
    play(script, simulation, followed, desk=desk)
    result = simulation.result()
    found = measured(
        result,
        cash=rules.cash,
        start=start,
        end=end,
        benchmark=benchmark,
        rates=rates,
        trading_days=rules.days,
    )
    return LeanOutcome(result, found)


def lean_desk(
    data: LeanData,
    rules: LeanRules,
    *,
    start: dt.date,
    progress: Progress,
    latch: Ints | None = None,
) -> tuple[LeanDesk, Simulation]:
    """Return a desk before the first bar after midnight of ``start``, and what it simulates."""
    data = prepared(data)
    first = int(np.searchsorted(data.market.timestamps, midnight(start)))
    simulation = _simulation(data, rules, first, latch)
    return LeanDesk(simulation, progress, rules, Prices.of(data)), simulation


def _simulation(data: LeanData, rules: LeanRules, first: int, latch: Ints | None) -> Simulation:
    none = np.zeros((0, 0, 0))
    params = make(
        cash=rules.cash,
        leverage=CARRIED,
        fill="quote_side" if data.continuous else "same_close",
        fractional=any(lot < 1.0 for lot in rules.lots.values()),
        fee=rules.fee if isinstance(rules.fee, str) else "zero",
        slippage=rules.slippage,
        **rules.fee_options,
        **rules.slippage_options,
    )
    return Simulation(
        data.market,
        data.symbols,
        Targets(np.zeros(0, np.int64), np.zeros((0, len(data.symbols)))),
        params,
        conditions=Conditions(
            sessions(data.market.timestamps, continuous=data.continuous),
            none if data.quotes is None else carried(data.quotes),
            none,
            np.zeros(0, ACTION) if data.actions is None else data.actions,
        ),
        first=first,
        latch=latch,
        adjust="total" if data.actions is None else "none",
    )


def sessions(times: Ints, *, continuous: bool) -> Ints:
    """Return the session marks (T,) of bars by their end: the first and last of a New York day."""
    marks = np.zeros(times.size, dtype=np.int64)
    if continuous or not times.size:
        return marks
    days = [dt.datetime.fromtimestamp(time / 1e9, ZONE).toordinal() for time in times.tolist()]
    changes = np.flatnonzero(np.diff(days)) + 1
    marks[np.concatenate([[0], changes])] |= FIRST_OF_SESSION
    marks[np.concatenate([changes - 1, [times.size - 1]])] |= LAST_OF_SESSION
    return marks
