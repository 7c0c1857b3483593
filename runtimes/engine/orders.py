"""Explicit orders: their words, and the book that holds them while they are open.

The book's rows are sorted by symbol and, within a symbol, by order id, so that looking through it
is the documented order of fills.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from runtimes.engine.arrays import BOOKED, ORDER_ID, ORDERS, Records, State, codes, named
from runtimes.engine.compiled import apart, compiled

MARKET, LIMIT, STOP, STOP_LIMIT, TRAILING_STOP, LIMIT_IF_TOUCHED, ON_OPEN, ON_CLOSE = codes(8)
KINDS = (
    "market",
    "limit",
    "stop",
    "stop_limit",
    "trailing_stop",
    "limit_if_touched",
    "market_on_open",
    "market_on_close",
)
DAY, GTC, GTD, IOC, FOK = codes(5)
TIFS = ("day", "gtc", "gtd", "ioc", "fok")

(
    NO_REASON,
    REPLACED,
    NO_BAR,
    TIME_OVER,
    BY_STRATEGY,
    OTHER_FILLED,
    PARENT_ENDED,
    NO_LIQUIDITY,
    BUYING_POWER,
    DELISTED,
    MARGIN_CALL,
    IMPOSSIBLE,
    UNSETTLED,
    EXIT_FILLED,
    TOO_SMALL,
) = codes(15)
REASONS = (
    "",
    "replaced by a newer target",
    "no bar to fill at",
    "its time in force is over",
    "cancelled by the strategy",
    "the other order of its group filled",
    "its entry never filled",
    "not enough volume at once",
    "not enough buying power",
    "the symbol is delisted",
    "margin call",
    "the order is impossible",
    "what sales brought is not settled yet",
    "an exit of its bracket filled",
    "a split left less than one lot of it",
)
CAPACITY = 256


OPEN_ORDER = np.dtype(
    [
        *((name, np.int64) for name in ("order_id", "symbol", "kind", "tif", "expiry", "created")),
        *((name, np.int64) for name in ("parent", "waiting", "group", "touched", "relative")),
        *((name, np.int64) for name in ("tag", "after")),
        *((name, np.float64) for name in ("quantity", "filled", "limit", "stop", "trail")),
    ],
    align=True,
)
"""An open order, a row of the book; ``State.counters[BOOKED]`` rows are in use.

``quantity`` is what remains, signed; ``filled`` what is done. ``created`` is the bar at whose close
the order was given, and it meets bars later than ``after``. ``parent`` is the id of the entry that
a bracket order closes again, as far as that has filled; while it has nothing to close it is
``waiting``.
Orders of one ``group`` cancel each other, 0 is none. ``trail`` is an amount, or a fraction of the
price where ``relative``. ``touched`` remembers a trigger; ``expiry`` is ns UTC for good-till-date.
"""


def new_book(capacity: int = CAPACITY) -> Records:
    """Return an empty book of ``capacity`` orders."""
    return named(np.zeros(capacity, dtype=OPEN_ORDER))


@apart
def log_order(
    t: int,
    order_id: int,
    created: int,
    symbol: int,
    kind: int,
    tif: int,
    status: int,
    reason: int,
    weight: float,
    quantity: float,
    filled: float,
    limit: float,
    stop: float,
    state: State,
    orders: Records,
) -> None:
    """Append the end of an order at bar ``t``."""
    row = state.counters[ORDERS]
    orders[row].order_id = order_id
    orders[row].created = created
    orders[row].closed = t
    orders[row].symbol = symbol
    orders[row].kind = kind
    orders[row].tif = tif
    orders[row].status = status
    orders[row].reason = reason
    orders[row].weight = weight
    orders[row].quantity = quantity
    orders[row].filled = filled
    orders[row].limit = limit
    orders[row].stop = stop
    state.counters[ORDERS] += 1


@compiled
def log_target(
    t: int, i: int, quantity: float, status: int, reason: int, state: State, orders: Records
) -> int:
    """Append the end of the open target of symbol ``i`` under a new order id and return that."""
    state.counters[ORDER_ID] += 1
    order_id = int(state.counters[ORDER_ID])
    nan = np.nan
    log_order(
        t,
        order_id,
        state.created[i],
        i,
        MARKET,
        GTC,
        status,
        reason,
        state.weight[i],
        quantity,
        quantity if status == 0 else 0.0,
        nan,
        nan,
        state,
        orders,
    )
    return order_id


@apart
def end_order(
    t: int, k: int, status: int, reason: int, state: State, book: Records, orders: Records
) -> None:
    """Append the end of the order in row ``k`` of the book; the row stays until it is swept."""
    log_order(
        t,
        book[k].order_id,
        book[k].created,
        book[k].symbol,
        book[k].kind,
        book[k].tif,
        status,
        reason,
        np.nan,
        book[k].filled + book[k].quantity,
        book[k].filled,
        book[k].limit,
        book[k].stop,
        state,
        orders,
    )
    book[k].order_id = 0


@apart
def sweep(state: State, book: Records) -> None:
    """Close the gaps that ended orders left, keeping the order of the others."""
    kept = 0
    for k in range(state.counters[BOOKED]):
        if book[k].order_id == 0:
            continue
        if kept != k:
            book[kept] = book[k]
        kept += 1
    state.counters[BOOKED] = kept


NEW = dict.fromkeys(OPEN_ORDER.names or (), 0.0) | dict.fromkeys(("limit", "stop", "trail"), np.nan)


def place(state: State, book: Records, **fields: float) -> int:
    """Put an order into the book, behind its symbol's earlier ones, and return its id.

    ``fields`` are those of `OPEN_ORDER`; what is not named is 0, prices are NaN, ``after`` is
    ``created``. The book must have room for it.
    """
    counters = state.counters
    used, order_id = int(counters[BOOKED]), int(counters[ORDER_ID]) + 1
    row = bisect_right(book["symbol"][:used].tolist(), fields["symbol"])
    if row < used:
        book[row + 1 : used + 1] = book[row:used].copy()
    given = {**NEW, "after": fields["created"], **fields, "order_id": order_id}
    book[row] = tuple(given.values())
    counters[ORDER_ID], counters[BOOKED] = order_id, used + 1
    return order_id


def row_of(state: State, book: Records, order_id: int) -> int | None:
    """Return the row of an open order, None where there is none of this id."""
    ids = book["order_id"][: int(state.counters[BOOKED])].tolist()
    return ids.index(order_id) if order_id in ids else None
