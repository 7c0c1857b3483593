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
from runtimes.engine.lean.rules import LeanRules
from runtimes.engine.lean.sampling import ZONE, Account, midnight
from runtimes.engine.lean.statistics import Activity, Rates, printed, statistics
from runtimes.engine.orders import IMPOSSIBLE, REASONS
from runtimes.engine.params import make
from runtimes.engine.results import Result
from runtimes.engine.script import Script
from runtimes.engine.scripting import play
from runtimes.engine.simulation import Simulation
from topology.frames import Progress

CARRIED = 1e12
"""The kernel's leverage: what an account may hold is asked when an order is given, not here."""
NO_RATES = Rates(np.zeros(0, np.int64), np.zeros(0))


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
    data = prepared(data)
    first = int(np.searchsorted(data.market.timestamps, midnight(start)))
    simulation = _simulation(data, rules, first)
    followed = progress or Silent()
    desk = LeanDesk(simulation, followed, rules, Prices.of(data))
    play(script, simulation, followed, desk=desk)
    result = simulation.result()
    fills = result.fills
    bars = np.searchsorted(result.timestamps, fills["timestamp"])
    account = Account(
        result.timestamps,
        result.curve.equity,
        _summed(bars, fills["quantity"] * fills["price"], result.timestamps.size),
        midnight(start),
        rules.cash,
    )
    found = statistics(
        account,
        Activity(_counted(result), float(fills["fee"].sum()), outcomes(result)),
        benchmark=benchmark,
        rates=rates,
        minutes=((end - start).days + 1) * 1_440,
        trading_days=rules.days,
    )
    return LeanOutcome(result, found)


def outcomes(result: Result) -> Floats:
    """Return the profit of each closing fill: against the average cost, less twice its fee."""
    fills, after = result.fills, result.positions
    signed = np.where(fills["side"] == "buy", fills["quantity"], -fills["quantity"])
    held: dict[str, tuple[float, float]] = {}
    found = []
    for k, symbol in enumerate(fills["vt_symbol"].tolist()):
        position, cost = held.get(symbol, (0.0, 0.0))
        if position * signed[k] < 0.0:
            closed = np.copysign(min(fills["quantity"][k], abs(position)), position)
            found.append(closed * (fills["price"][k] - cost) - 2.0 * fills["fee"][k])
        held[symbol] = (float(after["quantity"][k]), float(after["average_price"][k]))
    return np.array(found)


def _counted(result: Result) -> int:
    """Return how many orders there were; one that made no sense never was an order."""
    return int((result.orders["reason"] != REASONS[IMPOSSIBLE]).sum())


def _simulation(data: LeanData, rules: LeanRules, first: int) -> Simulation:
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


def _summed(places: Ints, values: Floats, size: int) -> Floats:
    return np.bincount(places, values, size).astype(np.float64)
