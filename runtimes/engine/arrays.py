"""The arrays that the kernel works on, and the codes that stand for names inside it.

Every argument of the compiled step is a NamedTuple of arrays, so all state lives outside the
compiled code: a run cut into chunks, halted and resumed is the same run, bit for bit.
Shapes: T bars, N symbols, R decision rows. float64 throughout, C order; NaN price = no bar.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DONE, CHUNK, LATCH, SPACE, RUINED = 0, 1, 2, 3, 4
"""Why a call of the compiled loop came back: the last bar is done, the chunk is, the latch's
counter moved, an output buffer is full (call the same bar again), equity fell to nothing."""

NEXT_OPEN, NEXT_CLOSE = 0, 1
FEE_ZERO, FEE_BPS, FEE_INTERACTIVE_BROKERS = 0, 1, 2
FILLED, CANCELLED, OPEN = 0, 1, 2
TAG_TARGET, TAG_RUIN = 0, 1

BAR, ROW, FILLS, ORDERS, ORDER_ID, IS_RUINED, SCALED = range(7)
"""Places in ``State.counters``: next bar, next decision row, rows in both output buffers, last
order id, whether the account is ruined, fills that had to be scaled to the leverage limit."""
COUNTERS = 7


class Market(NamedTuple):
    """Bars of N symbols on one calendar: ``timestamps`` (T,) int64 ns UTC, the rest (T, N)."""

    timestamps: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats


class Targets(NamedTuple):
    """Decisions at the close of bar ``rows[r]``: ``weights[r]`` (N,) of equity, short below 0."""

    rows: Ints
    weights: Floats


class Params(NamedTuple):
    """The rules of execution as numbers; `runtimes.engine.params` makes them from a spec."""

    cash: float
    leverage: float
    fractional: int
    fill: int
    fee_model: int
    fee_rate: float
    slippage_rate: float


class State(NamedTuple):
    """The account: ``cash`` (1,), ``peak`` (1,) of equity, positions and open targets (N,)."""

    cash: Floats
    peak: Floats
    quantity: Floats
    average_price: Floats
    last: Floats
    pending: Ints
    weight: Floats
    created: Ints
    wanted: Floats
    counters: Ints


class Fills(NamedTuple):
    """Output columns of fixed capacity; ``quantity`` is signed, ``average_price`` is after."""

    bar: Ints
    symbol: Ints
    quantity: Floats
    price: Floats
    fee: Floats
    order_id: Ints
    tag: Ints
    position: Floats
    average_price: Floats


class Orders(NamedTuple):
    """Output columns of fixed capacity: one row when an order ends, filled or cancelled."""

    order_id: Ints
    created: Ints
    closed: Ints
    symbol: Ints
    weight: Floats
    quantity: Floats
    status: Ints


class Curve(NamedTuple):
    """One row per bar (T,): money in the account currency, exposures and turnover of equity."""

    equity: Floats
    drawdown: Floats
    cash: Floats
    gross_exposure: Floats
    net_exposure: Floats
    turnover: Floats
    fees: Floats


Columns = TypeVar("Columns", bound=tuple[NDArray[Any], ...])


def each(columns: Columns, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Columns:
    """Return the same kind of named columns with ``change`` applied to each array."""
    make = type(columns)._make  # type: ignore[attr-defined]  # every bundle here is a NamedTuple
    return cast("Columns", make(change(column) for column in columns))


def read_only(values: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    """Return a C-ordered, read-only view or copy: one compiled signature, and no accidents."""
    array = np.ascontiguousarray(values, dtype=dtype).view()
    array.flags.writeable = False
    return array


def frozen(market: Market) -> Market:
    """Return ``market`` with the dtypes, order and protection that the kernels are compiled for."""
    bars = (read_only(column, np.float64) for column in market[1:])
    return Market(read_only(market.timestamps, np.int64), *bars)


def new_state(symbols: int, *, cash: float) -> State:
    """Return a flat account with ``cash`` before its first bar."""
    counters = np.zeros(COUNTERS, dtype=np.int64)
    return State(
        cash=np.array([cash]),
        peak=np.array([cash]),
        quantity=np.zeros(symbols),
        average_price=np.zeros(symbols),
        last=np.full(symbols, np.nan),
        pending=np.zeros(symbols, dtype=np.int64),
        weight=np.zeros(symbols),
        created=np.zeros(symbols, dtype=np.int64),
        wanted=np.zeros(symbols),
        counters=counters,
    )


def new_fills(capacity: int) -> Fills:
    """Return empty fill columns of ``capacity`` rows."""
    i, f = np.zeros((4, capacity), dtype=np.int64), np.zeros((5, capacity))
    return Fills(i[0], i[1], f[0], f[1], f[2], i[2], i[3], f[3], f[4])


def new_orders(capacity: int) -> Orders:
    """Return empty order columns of ``capacity`` rows."""
    i, f = np.zeros((5, capacity), dtype=np.int64), np.zeros((2, capacity))
    return Orders(i[0], i[1], i[2], i[3], f[0], f[1], i[4])


def new_curve(bars: int) -> Curve:
    """Return zeroed curve columns of ``bars`` rows."""
    return Curve(*(np.zeros(bars) for _ in Curve._fields))
