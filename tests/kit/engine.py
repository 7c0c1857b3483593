"""Markets, a progress that remembers, and a plain Python account to hold the kernel against."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from typing import Any

import numpy as np

from runtimes.engine import costs, sizing
from runtimes.engine.arrays import TAG_ORDER, Market, Params, Targets, frozen, surrounded
from runtimes.engine.orders import KINDS
from topology.errors import HaltedError

DAY = 86_400 * 10**9
LIMITED = {"limit", "stop_limit", "limit_if_touched"}
STOPPED = {"stop", "stop_limit", "limit_if_touched", "trailing_stop"}
EXCHANGE = {"AAPL": "NASDAQ", "FB": "NASDAQ", "GOOG": "NASDAQ", "MSFT": "NASDAQ", "IBM": "NYSE"}


def fee(quantity: float, price: float, params: Params, *, rests: bool = False) -> float:
    return costs.fee(quantity, price, rests, params)


def slipped(quantity: float, price: float, params: Params) -> float:
    return costs.slipped(quantity, price, 0, 0, ONE_BAR, NOTHING_ELSE, params)


def cost(quantity: float, price: float, params: Params) -> float:
    return costs.cost(quantity, price, 0, 0, ONE_BAR, NOTHING_ELSE, params)


def shares_for(value: float, price: float, held: float, params: Params) -> float:
    return sizing.shares_for(value, price, held, 0, 0, ONE_BAR, NOTHING_ELSE, params)


def names(count: int) -> tuple[str, ...]:
    return tuple(f"S{index:03d}.TEST" for index in range(count))


def flat_market(closes: Any, opens: Any = None) -> Market:
    """Return daily bars from lists (T, N) of closes; opens default to the closes."""
    close = np.array(closes, dtype=float)
    open_ = close.copy() if opens is None else np.array(opens, dtype=float)
    times = np.arange(len(close), dtype=np.int64) * DAY
    high, low = np.maximum(open_, close), np.minimum(open_, close)
    return Market(times, open_, high, low, close, np.where(np.isnan(close), np.nan, 1e6))


def random_market(seed: int, *, bars: int, symbols: int, missing: float = 0.0) -> Market:
    """Return random walks around 50; each bar is absent with probability ``missing``."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (bars, symbols)), axis=0))
    open_ = close * np.exp(rng.normal(0, 0.01, close.shape))
    gone = rng.random(close.shape) < missing
    close[gone] = open_[gone] = np.nan
    high = np.maximum(open_, close) * 1.005
    low = np.minimum(open_, close) * 0.995
    volume = np.where(gone, np.nan, rng.integers(1, 10**6, close.shape).astype(float))
    return Market(np.arange(bars, dtype=np.int64) * DAY, open_, high, low, close, volume)


def random_targets(seed: int, *, bars: int, symbols: int, gross: float = 1.0) -> Targets:
    """Return decisions at random rows, long and short, some weights 0, up to ``gross``."""
    rng = np.random.default_rng([seed, 1])
    rows = np.flatnonzero(rng.random(bars) < 0.3)
    weights = rng.normal(0.3, 1, (rows.size, symbols)) * (rng.random((rows.size, symbols)) < 0.7)
    total = np.maximum(np.abs(weights).sum(axis=1, keepdims=True), 1e-9)
    scale = rng.uniform(0.2, 1.0, (rows.size, 1)) * gross
    return Targets(rows.astype(np.int64), np.where(total > 1e-6, weights / total * scale, 0.0))


def sample_market(*, adjusted: bool = True) -> tuple[Market, tuple[str, ...]]:
    """Return the five real stocks of bokeh_sampledata on one calendar, sorted by symbol.

    Adjusted prices are raw * (Adj Close / Close), rebased so that the last bar is unchanged.
    """
    with as_file(files("bokeh_sampledata") / "_data/stocks.csv.gz") as path:
        text = gzip.decompress(path.read_bytes()).decode()
        rows = list(csv.DictReader(text.splitlines()))
    symbols = tuple(sorted(f"{ticker}.{exchange}" for ticker, exchange in EXCHANGE.items()))
    days = sorted({row["Date"] for row in rows})
    at = {day: index for index, day in enumerate(days)}
    panel = np.full((5, len(days), len(symbols)), np.nan)
    factor = np.full(panel.shape[1:], np.nan)
    for row in rows:
        cell = at[row["Date"]], symbols.index(f"{row['Ticker']}.{EXCHANGE[row['Ticker']]}")
        panel[:, *cell] = [float(row[key]) for key in ("Open", "High", "Low", "Close", "Volume")]
        factor[cell] = float(row["Adj Close"]) / float(row["Close"])
    if adjusted:
        panel[:4] *= factor / factor[-1]
    close_of_session = np.array(days, dtype="datetime64[ns]") + np.timedelta64(21, "h")
    return Market(close_of_session.astype(np.int64), *panel), symbols


ONE_BAR = frozen(flat_market([[1.0]]))
NOTHING_ELSE = surrounded(None)


@dataclass
class Recorder:
    """A `Progress` that keeps its frames and halts when told to."""

    halt_when: Callable[[int], bool] = lambda checkpoints: False
    frames: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    checkpoints: int = 0

    def emit(self, stage: str, message: str, **extras: Any) -> None:
        self.frames.append((stage, extras))

    def checkpoint(self) -> None:
        self.checkpoints += 1
        if self.halt_when(self.checkpoints):
            raise HaltedError("Halted.", epoch=1, scope="all")


@dataclass
class PlainAccount:
    """The engine's rules again, one obvious line each, with dictionaries and no arrays."""

    cash: float
    fee: str
    fee_rate: float
    slippage: float
    fractional: bool
    leverage: float = 1.0
    minimum: float = 0.0
    cap: float = 0.0
    participation: float = 0.0
    slip: Callable[[float, int, int], float] | None = None
    now: int = 0
    held: dict[int, float] = field(default_factory=dict)
    last: dict[int, float] = field(default_factory=dict)
    fills: list[tuple[int, int, float, float, float]] = field(default_factory=list)
    equity: list[float] = field(default_factory=list)
    flows: list[float] = field(default_factory=list)

    def paid(self, i: int, quantity: float, price: float) -> float:
        if not quantity:
            return price
        part = self.slippage if self.slip is None else self.slip(quantity, self.now, i)
        return price * (1 + part) if quantity > 0 else max(price * (1 - part), 0.0)

    def fee_of(self, quantity: float, price: float) -> float:
        shares = abs(quantity)
        if not shares or self.fee == "zero":
            return 0.0
        if self.fee == "per_share":
            charge = max(shares * self.fee_rate, self.minimum)
            return min(charge, self.cap * shares * price) if self.cap else charge
        if self.fee in ("bps", "forex", "maker_taker"):
            return max(shares * price * self.fee_rate, self.minimum)
        return 1.0 if 0.005 * shares < 1 else min(0.005 * shares, 0.005 * shares * price)

    def cost(self, i: int, quantity: float, price: float) -> float:
        paid = self.paid(i, quantity, price)
        return abs(quantity) * abs(paid - price) + self.fee_of(quantity, paid)

    def let_through(self, quantity: float, volume: float) -> float:
        most = self.participation * volume
        if not self.fractional:
            most = math.floor(most + 1e-9)
        return math.copysign(min(abs(quantity), most), quantity)

    def shares(self, i: int, value: float, price: float, held: float) -> float:
        if value == 0:
            return 0.0
        sign, budget = math.copysign(1, value), abs(value)
        if self.fractional:
            shares = budget / price
            for _ in range(200):
                shares = max((budget - self.cost(i, sign * shares - held, price)) / price, 0)
            return sign * shares
        whole = max(math.floor(budget / price + 1e-9), 0)
        while (
            whole
            and whole * price + self.cost(i, sign * whole - held, price) > budget + 1e-9 * price
        ):
            whole -= 1
        return sign * whole

    def run(self, market: Market, targets: Targets, *, at_open: bool) -> None:
        decisions = dict(zip(targets.rows.tolist(), targets.weights.tolist(), strict=True))
        waiting: dict[int, float] = {}
        for t in range(market.timestamps.size):
            row = (market.open if at_open else market.close)[t].tolist()
            prices = {i: price for i, price in enumerate(row) if not math.isnan(price)}
            before = len(self.fills)
            self.now = t
            self._trade(t, prices, waiting, market.volume[t].tolist())
            for i, close in enumerate(market.close[t].tolist()):
                if not math.isnan(close):
                    self.last[i] = close
            value = sum(q * self.last[i] for i, q in self.held.items() if q)
            self.equity.append(self.cash + value)
            self.flows.append(-sum(q * p + f for _, _, q, p, f in self.fills[before:]))
            if t in decisions:
                waiting = {i: w for i, w in enumerate(decisions[t]) if w or self.held.get(i, 0.0)}

    def _trade(
        self, t: int, prices: dict[int, float], waiting: dict[int, float], volume: list[float]
    ) -> None:
        now = {i: w for i, w in waiting.items() if i in prices}
        if not waiting:
            return
        marks = {i: prices.get(i, self.last.get(i, 0.0)) for i in self.held}
        equity = self.cash + sum(q * marks[i] for i, q in self.held.items())
        closing = sum(
            self.cost(i, -self.held[i], prices[i])
            for i, w in now.items()
            if not w and i in self.held
        )
        stuck = sum(abs(q) * marks[i] for i, q in self.held.items() if i not in now)
        net = max(equity - closing, 0.0)
        gross = sum(abs(w) for w in now.values()) * net
        scale = 1.0
        if stuck and gross + stuck > self.leverage * net:
            scale = max(self.leverage * net - stuck, 0.0) / gross if gross else 0.0
        wanted = {
            i: self.shares(i, w * net * scale, prices[i], self.held.get(i, 0.0))
            for i, w in now.items()
        }
        changes = {i: want - self.held.get(i, 0.0) for i, want in wanted.items()}
        reductions = [i for i in sorted(changes) if changes[i] * self.held.get(i, 0.0) < 0]
        increases = [i for i in sorted(changes) if i not in reductions and changes[i]]
        left: list[int] = []
        for i in (*reductions, *increases):
            if self.participation:
                wanted_now, changes[i] = changes[i], self.let_through(changes[i], volume[i])
                left += [i] if changes[i] != wanted_now else []
                if not changes[i]:
                    continue
            price = self.paid(i, changes[i], prices[i])
            fee = self.fee_of(changes[i], price)
            self.cash -= changes[i] * price + fee
            self.held[i] = self.held.get(i, 0.0) + changes[i]
            if not self.held[i]:
                del self.held[i]
            self.fills.append((t, i, changes[i], price, fee))
        for i in now:
            if i not in left:
                del waiting[i]


def random_orders(seed: int, *, bars: int, symbols: int, count: int) -> list[dict[str, float]]:
    """Return rows for a book of orders of every kind around 50, in the order they are given."""
    rng = np.random.default_rng([seed, 2])
    rows: list[dict[str, float]] = []
    for created in sorted(rng.integers(0, bars, count).tolist()):
        kind, tif = int(rng.integers(0, len(KINDS))), int(rng.choice([0, 1, 3, 4]))
        buys = rng.random() < 0.5
        quantity = float(rng.integers(1, 80)) * (1 if buys else -1)
        near, far = (50 * rng.uniform(0.9, 1.1, 2)).round(2).tolist()
        row: dict[str, float] = {"symbol": int(rng.integers(0, symbols)), "kind": kind, "tif": tif}
        row |= {"created": created, "quantity": quantity, "tag": int(TAG_ORDER)}
        row |= {"limit": near} if KINDS[kind] in LIMITED else {}
        row |= {"stop": far} if KINDS[kind] in STOPPED else {}
        row |= {"trail": 1.5} if KINDS[kind] == "trailing_stop" else {}
        rows.append(row)
    return rows


def by_name(columns: Mapping[str, Any], symbols: Sequence[str]) -> list[tuple[str, float, float]]:
    """Return (symbol, signed quantity, price) of each fill."""
    sides = np.where(columns["side"] == "buy", 1.0, -1.0)
    rows = zip(columns["vt_symbol"], sides * columns["quantity"], columns["price"], strict=True)
    return [(str(symbol), float(quantity), float(price)) for symbol, quantity, price in rows]
