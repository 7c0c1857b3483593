"""Real bars with all that surrounds them, and a script that gives every kind of order on them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow.parquet as pq

from runtimes.backtest import surroundings, terms
from runtimes.engine.arrays import ACTION, DIVIDEND, SPLIT, Conditions, Floats, Market, each
from runtimes.engine.script import Account, Script
from tests.kit.engine import sample_market

MINUTE = 60 * 10**9
NEW_YORK = 4 * 60 * MINUTE
"""What New York is behind UTC in October."""
STOCKS = ("AIG.NYSE", "BAC.NYSE", "IBM.NYSE")
PRICES = ("open", "high", "low", "close", "volume")


def daily(bars: int) -> tuple[Market, tuple[str, ...], Conditions]:
    """Return the last ``bars`` days of five real stocks, a late listing among them, and actions."""
    whole, symbols = sample_market(adjusted=False)
    market = each(whole, lambda column: column[-bars:])
    impact = surroundings.impact(market.timestamps, market.close, market.volume, days=20)
    quotes = np.full((8, *market.close.shape), np.nan)
    quotes[3], quotes[7] = market.close * 0.9995, market.close * 1.0005
    actions = np.array([(60, 0, DIVIDEND, 2.65), (90, 3, SPLIT, 0.5)], dtype=ACTION)
    return market, symbols, Conditions(np.zeros(0, np.int64), quotes, impact, actions)


def minutes(folder: Path, *, days: int = 2) -> tuple[Market, tuple[str, ...], Conditions]:
    """Return minutes of three stocks from 2013-10-07 on, early and late trading too, and quotes."""
    since = np.datetime64("2013-10-07")
    until = since + np.timedelta64(days, "D")
    trades = [_rows(folder / "equity_minute_trade.parquet", s, since, until) for s in STOCKS]
    quotes = [_rows(folder / "equity_minute_quote.parquet", s, since, until) for s in STOCKS]
    times = np.unique(np.concatenate([rows["time"] for rows in trades]))
    market = Market(times, *(_grid(times, trades, name) for name in PRICES))
    sides = np.stack([_grid(times, quotes, name) for name in surroundings.QUOTES])
    flags = terms.sessions(times, STOCKS)
    return market, STOCKS, Conditions(flags, sides, np.zeros((0, 0, 0)), np.zeros(0, ACTION))


def _rows(path: Path, symbol: str, since: Any, until: Any) -> dict[str, Any]:
    period = [("time", ">=", since.item()), ("time", "<", until.item())]
    mine = [("symbol", "==", symbol.partition(".")[0]), *period]
    table = pq.read_table(path, filters=mine)
    columns = {name: table[name].to_numpy() for name in table.column_names if name != "symbol"}
    starts = columns["time"].astype("datetime64[ns]").astype(np.int64)
    return columns | {"time": starts + MINUTE + NEW_YORK}


def _grid(times: Any, rows: list[dict[str, Any]], name: str) -> Floats:
    grid = np.full((times.size, len(rows)), np.nan)
    for i, own in enumerate(rows):
        there = np.isin(own["time"], times)
        grid[np.searchsorted(times, own["time"][there]), i] = own[name][there]
    return grid


class Everything(Script):
    """Gives every kind of order in turn, near the market; brackets, changes, cancels, targets."""

    KINDS: ClassVar[tuple[tuple[str, dict[str, Any]], ...]] = (
        ("market", {}),
        ("limit", {"limit": 0.999}),
        ("stop", {"stop": 1.001}),
        ("stop_limit", {"stop": 1.0005, "limit": 1.003}),
        ("trailing_stop", {"trail": 0.004, "relative": True}),
        ("limit_if_touched", {"stop": 0.999, "limit": 1.0005}),
        ("market_on_open", {}),
        ("market_on_close", {}),
    )
    TIFS = ("gtc", "day", "ioc", "fok", "gtd")

    def __init__(self, every: int) -> None:
        self.every, self.given, self.heard = every, list[int](), list[tuple[Any, ...]]()

    def on_order(self, account: Account, event: Any) -> None:
        """Remember it."""
        self.heard.append((account.bar, event.order_id, event.status, event.quantity))

    def on_bar(self, account: Account) -> None:
        """Give the order whose turn it is."""
        turn, left = divmod(account.bar, self.every)
        if left == 1 and self.given:
            account.update(self.given[-1], limit=account.price(account.symbols[0]))
            account.cancel(self.given[0])
        if left:
            return
        symbol = account.symbols[turn % len(account.symbols)]
        price = float(account.history(symbol, 30)[-1])
        if not np.isfinite(price):
            return
        if turn % 11 == 10:
            account.targets({symbol: 0.1})
            return
        kind, parts = self.KINDS[turn % len(self.KINDS)]
        scaled: dict[str, Any] = {
            name: value if name in ("trail", "relative") else round(price * value, 4)
            for name, value in parts.items()
        }
        tif = self.TIFS[turn % len(self.TIFS)]
        until = account.time + dt.timedelta(days=3) if tif == "gtd" else None
        sign = 1 if turn % 3 else -1
        bracket: dict[str, Any] = (
            {"take_profit": price * 1.004, "stop_loss": price * 0.996} if sign > 0 else {}
        )
        order = account.order(symbol, sign * 40, kind, tif=tif, until=until, **scaled, **bracket)
        self.given.append(order)
