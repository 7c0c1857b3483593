"""A spec by Lean's rules as the engine's Lean takes it: the account, its fees, the rates.

outcome = lean.run(spec, script, data, benchmark=(times, closes))
outcome.printed["Sharpe Ratio"]
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import numpy as np

from runtimes.engine import costs
from runtimes.engine.arrays import Floats, Ints, Targets
from runtimes.engine.lean.data import LeanData
from runtimes.engine.lean.profile import NO_BENCHMARK
from runtimes.engine.lean.rules import Fee, LeanRules
from runtimes.engine.lean.running import LeanOutcome, lean_run
from runtimes.engine.lean.statistics import Rates
from runtimes.engine.params import make
from runtimes.engine.script import Account, Script
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.execution import BpsFee, ForexFee, MakerTakerFee
from topology.frames import Progress


class Decided(Script):
    """Target weights as a script: each decision of a strategy at the close of its bar."""

    def __init__(self, targets: Targets, symbols: tuple[str, ...], *, first: int) -> None:
        self._symbols = symbols
        rows = (targets.rows - first).tolist()
        self._at = dict(zip(rows, targets.weights.tolist(), strict=True))

    def on_bar(self, account: Account) -> None:
        """Ask for the weights that were decided at this bar, if any were."""
        weights = self._at.get(account.bar)
        if weights is not None:
            account.targets(dict(zip(self._symbols, weights, strict=True)))


def run(
    spec: BacktestSpec,
    script: Script,
    data: LeanData,
    *,
    benchmark: tuple[Ints, Floats] = NO_BENCHMARK,
    progress: Progress | None = None,
) -> LeanOutcome:
    """Run ``script`` on ``data`` by the account, the period and the rates of ``spec``."""
    return lean_run(
        script,
        data,
        account_of(spec),
        start=spec.data.start,
        end=spec.data.end,
        benchmark=benchmark,
        rates=rates_of(spec),
        progress=progress,
    )


def account_of(spec: BacktestSpec) -> LeanRules:
    """Return the account that a spec by Lean's rules describes."""
    portfolio, execution = spec.portfolio, spec.execution
    account = execution.lean
    fee = _by_value(execution.fee) or execution.fee.model
    slippage = execution.slippage
    return LeanRules(
        cash=portfolio.cash,
        leverage=portfolio.leverage,
        closed_leverage=account.closed_leverage,
        fee=fee,
        fee_options=execution.fee.rules() if isinstance(fee, str) else {},
        slippage=slippage.model,
        slippage_options=slippage.rules(),
        buying_power=account.buying_power,
        maker_fee=_by_value(execution.fee, rests=True),
        lots=_sizes(spec, portfolio.lot, portfolio.lots),
        ticks=_sizes(spec, portfolio.tick, portfolio.ticks),
        days=account.trading_days,
    )


def rates_of(spec: BacktestSpec) -> Rates:
    """Return the spec's risk-free rate as a step function of time."""
    steps = spec.execution.lean.risk_free
    days = [dt.datetime.combine(step.since, dt.time(), dt.UTC) for step in steps]
    times = [int(day.timestamp()) * 10**9 for day in days]
    return Rates(np.array(times, dtype=np.int64), np.array([step.percent for step in steps]))


def _by_value(fee: Any, *, rests: bool = False) -> Fee | None:
    """Return a fee that Lean takes of the value at its last price, not at that of the fill.

    ``rests`` asks for that of limit orders, where it differs.
    """
    if not isinstance(fee, MakerTakerFee if rests else BpsFee | ForexFee | MakerTakerFee):
        return None
    params = make(fee=fee.model, **fee.rules())

    def charge(symbol: str, quantity: float, price: float) -> float:
        del symbol
        return float(costs.fee(quantity, price, rests, params))

    return charge


def _sizes(spec: BacktestSpec, default: float, own: Mapping[str, float]) -> dict[str, float]:
    """Return the size of each symbol that has one of its own, or the account's."""
    named = {symbol: own.get(symbol, default) for symbol in spec.looked()["symbols"]}
    return {symbol: size for symbol, size in named.items() if size}
