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
Records = NDArray[np.void]
"""Rows with named fields, one array for a whole table: what the kernel writes and reads by row."""


def codes(count: int) -> tuple[int, ...]:
    """Return 0, 1, .. as numbers that the compiler does not specialise a function on.

    A plain integer constant makes another copy of every function that it is passed to.
    """
    return tuple(cast("int", np.int64(code)) for code in range(count))


DONE, CHUNK, LATCH, SPACE, RUINED = codes(5)
"""Why a call of the compiled loop came back: the last bar is done, the chunk is, the latch's
counter moved, an output buffer is full (call the same bar again), equity fell to nothing."""

NEXT_OPEN, NEXT_CLOSE, SAME_CLOSE, QUOTE_SIDE = codes(4)
FEE_ZERO, FEE_BPS, FEE_INTERACTIVE_BROKERS, FEE_PER_SHARE, FEE_MAKER_TAKER = codes(5)
SLIP_BPS, SLIP_HALF_SPREAD, SLIP_VOLUME_SHARE, SLIP_SQUARE_ROOT = codes(4)
FILLED, CANCELLED, OPEN, EXPIRED, REJECTED = codes(5)
TAG_TARGET, TAG_RUIN, TAG_ORDER, TAG_MARGIN, TAG_DELISTED = codes(5)
WORST, BEST, NEAREST = codes(3)
"""What a bar that reaches both the stop and the target of a bracket is taken to have done."""

BAR, ROW, FILLS, ORDERS, ORDER_ID, IS_RUINED, SCALED, BOOKED, CALLS, INSIDE, QUIET = range(11)
"""Places in ``State.counters``: next bar, next decision row, rows in both output buffers, last
order id, whether the account is ruined, fills that had to be scaled to the leverage limit, orders
in the book, margin calls; 1 + the fills before the next bar while it is being decided, else 0; the
bar before which nothing happens by itself."""
COUNTERS = 11
BORROW, INTEREST, DIVIDENDS = range(3)
"""Places in ``State.totals``: borrow fees paid, interest and dividends received (paid below 0)."""
TOTALS = 3
FIRST_OF_SESSION, LAST_OF_SESSION = 1, 2
"""Bits of ``Conditions.flags``."""
DIVIDEND, SPLIT, DELISTING = codes(3)
"""Kinds of corporate actions: cash a share; new shares for an old one, as a factor on the price
(0.5 for two for one); the last bar, at whose close a position is paid out."""


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


ACTION = np.dtype(
    [("bar", np.int64), ("symbol", np.int64), ("kind", np.int64), ("value", np.float64)],
    align=True,
)
TERMS = np.dtype([("lot", np.float64), ("tick", np.float64), ("currency", np.int64)], align=True)
"""Terms of trade of a symbol: its smallest piece in shares (0: any fraction), the step of its
prices (0: none) and the place of its money in ``State.cash``. Without terms `Params.fractional`
decides about pieces, prices have no step and all is the account's own currency."""


class Conditions(NamedTuple):
    """What surrounds the bars; a part that is absent has size 0.

    ``flags`` (T,) mark the first and last bar of a session. ``quotes`` (8, T, N) are open, high,
    low and close of the bid, then of the ask. ``impact`` (2, T, N) holds the mean daily volume and
    the daily volatility of the days before each bar. ``actions`` (E,) of dtype `ACTION` are due
    before the open of their bar, in this order. ``terms`` (N,) of dtype `TERMS` are those of each
    symbol. ``rates`` (T, C - 1) is what a unit of each foreign currency is worth at the bar's end.
    An absent part keeps its dimensions: (0, 0, 0).
    """

    flags: Ints
    quotes: Floats
    impact: Floats
    actions: Records
    terms: Records = np.zeros(0, TERMS)
    rates: Floats = np.zeros((0, 0))


BID, HIGH, LOW, CLOSE, ASK = codes(5)
"""Places in ``Conditions.quotes``: a side (its open), plus one of the other prices."""


class Params(NamedTuple):
    """The rules of execution as numbers; `runtimes.engine.params` makes them from a spec.

    Rates are fractions, those of borrowing and interest a year of 365 days; ``participation`` is
    the part of a bar's volume that may be filled and ``maintenance`` the equity that a position
    needs, both 0 for no limit. ``lag`` is how many bars after its decision an order meets the
    market, 1 the next; ``settlement`` how many sessions pass until proceeds may be spent.
    ``cost_scale`` multiplies fees and slippage.
    """

    cash: float
    leverage: float
    fractional: int
    fill: int
    fee_model: int
    fee_rate: float
    fee_maker: float
    fee_minimum: float
    fee_cap: float
    slippage_model: int
    slippage_rate: float
    slippage_limit: float
    participation: float
    borrow_rate: float
    debit_rate: float
    credit_rate: float
    maintenance: float
    lag: int
    intrabar: int
    settlement: int
    cost_scale: float


class State(NamedTuple):
    """The account: ``cash`` (C,), positions and open targets (N,).

    ``cash[0]`` is in the account's own currency, in which everything is counted. ``currency`` (N,)
    is the place of the cash that a symbol is paid with, ``exchange`` (C,) what a unit of each is
    worth and ``rate`` (N,) the same by symbol, all 1 in an account of one currency. ``unsettled``
    (S,) is what becomes spendable after 1, 2, .. S more sessions, in the account's currency.
    """

    cash: Floats
    totals: Floats
    quantity: Floats
    average_price: Floats
    last: Floats
    pending: Ints
    weight: Floats
    created: Ints
    wanted: Floats
    counters: Ints
    currency: Ints
    rate: Floats
    exchange: Floats
    unsettled: Floats


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
    """Output columns of fixed capacity: one row when an order ends, in whatever way.

    ``quantity`` was asked for, ``filled`` was done; ``weight`` is NaN for an order in shares and
    ``quantity`` for a target that never filled; ``kind``, ``tif`` and ``reason`` are those of
    `runtimes.engine.orders`.
    """

    order_id: Ints
    created: Ints
    closed: Ints
    symbol: Ints
    kind: Ints
    tif: Ints
    status: Ints
    reason: Ints
    weight: Floats
    quantity: Floats
    filled: Floats
    limit: Floats
    stop: Floats


class Worth(NamedTuple):
    """What the kernel writes a bar (T,), in money: at its close, ``traded`` and ``fees`` in it.

    ``gross`` is the absolute value of all positions.
    """

    equity: Floats
    cash: Floats
    gross: Floats
    traded: Floats
    fees: Floats


Columns = TypeVar("Columns", bound=tuple[NDArray[Any], ...])


def each(columns: Columns, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Columns:
    """Return the same kind of named columns with ``change`` applied to each array."""
    make = type(columns)._make  # type: ignore[attr-defined]  # every bundle here is a NamedTuple
    return cast("Columns", make(change(column) for column in columns))


def read_only(values: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Return a C-ordered, read-only view or copy: one compiled signature, and no accidents."""
    array = np.ascontiguousarray(values, dtype=dtype).view()
    array.flags.writeable = False
    return array


def surrounded(conditions: Conditions | None) -> Conditions:
    """Return ``conditions`` with the dtypes, order and protection of the compiled signature."""
    none = np.zeros((0, 0, 0))
    given = conditions or Conditions(np.zeros(0, np.int64), none, none, np.zeros(0, ACTION))
    return Conditions(
        read_only(given.flags, np.int64),
        read_only(given.quotes, np.float64),
        read_only(given.impact, np.float64),
        named(read_only(given.actions, ACTION)),
        named(read_only(given.terms, TERMS)),
        read_only(given.rates, np.float64),
    )


def frozen(market: Market) -> Market:
    """Return ``market`` with the dtypes, order and protection that the kernels are compiled for."""
    bars = (read_only(column, np.float64) for column in market[1:])
    return Market(read_only(market.timestamps, np.int64), *bars)


def new_state(
    symbols: int, *, cash: float, terms: Records | None = None, settlement: int = 0
) -> State:
    """Return a flat account with ``cash`` before its first bar, for symbols of these ``terms``."""
    counters = np.zeros(COUNTERS, dtype=np.int64)
    paid = np.zeros(symbols, dtype=np.int64)
    if terms is not None and terms.size:
        paid = terms["currency"].copy()
    money = np.zeros(int(paid.max(initial=0)) + 1)
    money[0] = cash
    return State(
        cash=money,
        totals=np.zeros(TOTALS),
        quantity=np.zeros(symbols),
        average_price=np.zeros(symbols),
        last=np.full(symbols, np.nan),
        pending=np.zeros(symbols, dtype=np.int64),
        weight=np.zeros(symbols),
        created=np.zeros(symbols, dtype=np.int64),
        wanted=np.zeros(symbols),
        counters=counters,
        currency=paid,
        rate=np.ones(symbols),
        exchange=np.ones(money.size),
        unsettled=np.zeros(settlement),
    )


FLOATS = frozenset(
    {"quantity", "price", "fee", "position", "average_price", "weight", "filled", "limit", "stop"}
)


def records(columns: type[tuple[Any, ...]], rows: int) -> Records:
    """Return ``rows`` zeroed records with the fields of the bundle ``columns``."""
    names = columns._fields  # type: ignore[attr-defined]  # every bundle here is a NamedTuple
    kinds = [np.float64 if name in FLOATS else np.int64 for name in names]
    return named(np.zeros(rows, np.dtype(list(zip(names, kinds, strict=True)), align=True)))


def new_worth(bars: int) -> Worth:
    """Return columns for ``bars`` bars; every bar writes the first three, only fills the others."""
    equity, cash, gross = (np.empty(bars) for _ in range(3))
    return Worth(equity, cash, gross, traded=np.zeros(bars), fees=np.zeros(bars))


def named(rows: NDArray[Any]) -> Records:
    """Return ``rows`` with fields as attributes, for the engine that runs without a compiler."""
    return cast("Records", rows.view(np.recarray))
