"""Another engine's run of the same idea on the same bars, trade by trade."""

from __future__ import annotations

import csv
import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from runtimes.engine.arrays import DONE, Market, Params, Targets
from runtimes.engine.params import make
from runtimes.engine.results import Result
from runtimes.engine.script import Account, Script
from runtimes.engine.scripting import play
from runtimes.engine.simulation import Simulation
from runtimes.strategies.sma_cross import moving_average
from tests.kit.engine import Recorder

pytestmark = pytest.mark.shared


def case(folder: Path, name: str) -> dict[str, Any]:
    cases = json.loads((folder / "crosscheck_cases_dev.json").read_text())
    return next(entry for entry in cases if entry["name"] == name)


def adjusted(folder: Path, symbol: str, start: str, end: str) -> Market:
    """Return daily bars times the factors of the first factor row at or after each bar."""
    table = pq.read_table(folder / "equity_daily.parquet", filters=[("symbol", "==", symbol)])
    days = table["time"].to_numpy().astype("datetime64[D]")
    with (folder / "equity_factor_files.csv").open() as text:
        rows = [row for row in csv.DictReader(text) if row["symbol"] == symbol]
    dates = np.array([dt.date.fromisoformat(row["date"]) for row in rows], dtype="datetime64[D]")
    factors = [float(row["price_factor"]) * float(row["split_factor"]) for row in rows]
    factor = np.array([*factors, 1.0])[np.searchsorted(dates, days)]
    inside = (days >= np.datetime64(start)) & (days <= np.datetime64(end))
    times = days.astype("datetime64[ns]").astype(np.int64)[inside]
    fields = ("open", "high", "low", "close")
    prices = [(table[name].to_numpy() * factor)[inside, None] for name in fields]
    prices.append(table["volume"].to_numpy().astype(float)[inside, None])
    return Market(times, *prices)


def crossings(close: np.ndarray) -> Targets:
    """Return 1 where the 20-bar mean crosses above the 50-bar one and 0 where below."""
    above = moving_average(close, 20) > moving_average(close, 50)
    rows = np.flatnonzero(above[50:] != above[49:-1]) + 50
    return Targets(rows.astype(np.int64), above[rows].astype(float)[:, None])


@pytest.fixture(scope="module")
def spy(shared_data: Path) -> tuple[dict[str, Any], Result]:
    expected = case(shared_data, "bt_sma_spy")
    market = adjusted(shared_data, "SPY", expected["start"], expected["end"])
    params = make(cash=expected["cash"], fee="bps", fee_bps=expected["commission"] * 1e4)
    simulation = Simulation(market, ("SPY.ARCA",), crossings(market.close[:, 0]), params)
    while simulation.advance() != DONE:
        pass
    return expected, simulation.result()


def day(timestamp: int) -> str:
    return str(np.datetime64(int(timestamp), "ns").astype("datetime64[D]"))


def test_every_trade_is_the_same(spy: tuple[dict[str, Any], Result]) -> None:
    expected, result = spy
    trades = result.trades
    assert trades["pnl"].size == expected["n_trades"] == len(expected["trades"])
    for k, trade in enumerate(expected["trades"]):
        assert trades["quantity"][k] == trade["size"]
        assert day(trades["entry_time"][k]) == trade["entry_time"]
        assert day(trades["exit_time"][k]) == trade["exit_time"]
        assert trades["entry_price"][k] == pytest.approx(trade["entry_price"], rel=1e-6)
        assert trades["exit_price"][k] == pytest.approx(trade["exit_price"], rel=1e-6)
        assert trades["pnl"][k] == pytest.approx(trade["pnl"], abs=0.01)


def test_equity_is_the_same_at_every_month_end(spy: tuple[dict[str, Any], Result]) -> None:
    expected, result = spy
    equity = {day(t)[:7]: e for t, e in zip(result.timestamps, result.curve.equity, strict=True)}
    for date, value in expected["equity_month_end"].items():
        assert equity[date[:7]] == pytest.approx(value, rel=1e-6), date
    assert result.curve.equity[-1] == pytest.approx(expected["final_equity"], abs=0.01)


def test_the_deepest_drawdown_is_the_same(spy: tuple[dict[str, Any], Result]) -> None:
    expected, result = spy
    assert -100 * result.curve.drawdown.max() == pytest.approx(expected["max_drawdown_pct"])


UNITS = 50_000.0
FEE = 0.0002


def euro(folder: Path, start: str, end: str) -> Market:
    """Return the daily mid of bid and ask."""
    path = folder / "forex_oanda_daily_quote.parquet"
    table = pq.read_table(path, filters=[("symbol", "==", "EURUSD")])
    days = table["time"].to_numpy().astype("datetime64[D]")
    inside = (days >= np.datetime64(start)) & (days <= np.datetime64(end))

    def mid(name: str) -> np.ndarray:
        sides = [table[f"{side}_{name}"].to_numpy() for side in ("bid", "ask")]
        return np.asarray((sides[0] + sides[1]) / 2)[inside, None]

    times = days.astype("datetime64[ns]").astype(np.int64)[inside]
    prices = [mid(name) for name in ("open", "high", "low", "close")]
    return Market(times, *prices, *[np.ones((len(times), 1))])


def fixed_units(market: Market) -> Targets:
    """Return the weights that hold +-50,000 units from each cross on, by its own arithmetic."""
    close, opens = market.close[:, 0], market.open[:, 0]
    above = moving_average(close, 20) > moving_average(close, 60)
    rows = np.flatnonzero(above[60:] != above[59:-1]) + 60
    rows = rows[rows + 1 < len(close)]
    cash, held, weights = 100_000.0, 0.0, []
    for row in rows:
        price, wanted = opens[row + 1], UNITS if above[row] else -UNITS
        cost = abs(wanted - held) * price * FEE
        weights.append(np.sign(wanted) * (UNITS * price + cost) / (cash + held * price))
        cash, held = cash - (wanted - held) * price - cost, wanted
    return Targets(rows.astype(np.int64), np.array(weights)[:, None])


def test_long_and_short_with_reversals_end_where_vectorbt_ends(shared_data: Path) -> None:
    expected = case(shared_data, "vbt_eurusd_long_short")
    market = euro(shared_data, expected["start"], expected["end"])
    params = make(cash=100_000, leverage=2, fee="bps", fee_bps=FEE * 1e4)
    simulation = Simulation(market, ("EURUSD.OANDA",), fixed_units(market), params)
    while simulation.advance() != DONE:
        pass
    result = simulation.result()
    assert result.fills["price"].size == expected["n_orders"]
    for k, order in enumerate(expected["first_orders"]):
        assert result.fills["side"][k] == order["Side"].lower()
        assert result.fills["quantity"][k] == order["Size"]
        assert result.fills["price"][k] == pytest.approx(order["Price"], rel=1e-9)
        assert result.fills["fee"][k] == pytest.approx(order["Fees"], rel=1e-9)
    equity = {day(t)[:7]: e for t, e in zip(result.timestamps, result.curve.equity, strict=True)}
    for date, value in expected["equity_month_end"].items():
        assert equity[date[:7]] == pytest.approx(value, rel=1e-6), date
    assert result.curve.equity[-1] == pytest.approx(expected["final_equity"], abs=0.01)
    assert result.curve.drawdown.max() == pytest.approx(-expected["max_drawdown"], abs=1e-6)


class Crossing(Script):
    """The same two ideas as a user writes them: a fast mean crosses a slow one."""

    def __init__(self, fast: int, slow: int, units: float | None = None) -> None:
        self.fast, self.slow, self.units = fast, slow, units
        self.above: bool | None = None

    def on_bar(self, account: Account) -> None:
        (symbol,) = account.symbols
        closes = account.history(symbol, self.slow)
        if closes.size < self.slow:
            return
        above = bool(closes[-self.fast :].mean() > closes.mean())
        crossed = self.above is not None and above != self.above
        self.above = above
        if not crossed:
            return
        if self.units is None:
            account.target(symbol, float(above))
        else:
            wanted = self.units if above else -self.units
            account.order(symbol, wanted - account.position(symbol))


def scripted(market: Market, symbol: str, params: Params, script: Script) -> Result:
    nothing = Targets(np.zeros(0, np.int64), np.zeros((0, 1)))
    simulation = Simulation(market, (symbol,), nothing, params)
    play(script, simulation, Recorder())
    return simulation.result()


def test_a_script_says_what_backtesting_py_says(shared_data: Path) -> None:
    expected = case(shared_data, "bt_sma_spy")
    market = adjusted(shared_data, "SPY", expected["start"], expected["end"])
    params = make(cash=expected["cash"], fee="bps", fee_bps=expected["commission"] * 1e4)
    result = scripted(market, "SPY.ARCA", params, Crossing(20, 50))
    assert result.trades["pnl"].size == expected["n_trades"] == 56
    assert result.curve.equity[-1] == pytest.approx(221_538.9902, abs=1e-4)
    equity = {day(t)[:7]: e for t, e in zip(result.timestamps, result.curve.equity, strict=True)}
    for date, value in expected["equity_month_end"].items():
        assert equity[date[:7]] == pytest.approx(value, rel=1e-6), date


def test_a_script_says_what_vectorbt_says(shared_data: Path) -> None:
    expected = case(shared_data, "vbt_eurusd_long_short")
    market = euro(shared_data, expected["start"], expected["end"])
    params = make(cash=100_000, leverage=2, fee="bps", fee_bps=FEE * 1e4)
    result = scripted(market, "EURUSD.OANDA", params, Crossing(20, 60, UNITS))
    assert result.fills["price"].size == expected["n_orders"] == 59
    assert result.curve.equity[-1] == pytest.approx(99_943.1067, abs=1e-4)
    equity = {day(t)[:7]: e for t, e in zip(result.timestamps, result.curve.equity, strict=True)}
    for date, value in expected["equity_month_end"].items():
        assert equity[date[:7]] == pytest.approx(value, rel=1e-6), date
