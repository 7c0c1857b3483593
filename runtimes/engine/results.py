"""What a simulation leaves: a curve, fills, orders, trades and positions as named columns.

Columns are numpy arrays under the names of the public result tables, so that whoever stores them
adds only the run's id. Times are int64 ns UTC; ``vt_symbol``, ``side`` and the like are text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.engine.arrays import Conditions, Fills, Floats, Ints, Market, Orders, Params
from runtimes.engine.curve import Curve
from runtimes.engine.orders import KINDS, REASONS, TIFS
from runtimes.engine.restated import matched
from runtimes.engine.trades import Trades

Columns = dict[str, NDArray[Any]]
Named = Mapping[str, NDArray[Any]]
_TAGS = np.array(["target", "ruin", "order", "margin_call", "delisted"])
_STATUS = np.array(["filled", "cancelled", "open", "expired", "rejected"])


class Table(Named):
    """Columns of equal length that are made when somebody first looks at one."""

    def __init__(self, make: Callable[[], Columns]) -> None:
        self._make = make

    @cached_property
    def _columns(self) -> Columns:
        return self._make()

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


@dataclass(frozen=True, slots=True)
class Result:
    """The records of a run, whole or (``partial``) up to the bar it reached.

    ``timestamps`` and each column of ``curve`` have shape (B,), one row per simulated bar.
    ``drawdown`` is the fraction below the running peak, 0 at it; exposures and turnover are
    fractions of equity. The tables are columns of equal length.
    """

    timestamps: Ints
    curve: Curve
    fills: Named
    orders: Named
    trades: Named
    positions: Named
    warnings: tuple[dict[str, Any], ...]
    partial: bool

    def equity_table(self) -> Columns:
        """Return the columns of ``run_<run_id>``: timestamp, then the curve's."""
        return {"timestamp": self.timestamps, **self.curve.columns()}

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of the equity table's and of the fills' bytes."""
        return {"equity": digest(self.equity_table()), "fills": digest(self.fills)}


def digest(columns: Named) -> str:
    """Return a SHA-256 over names, types and little-endian bytes of ``columns`` in order."""
    total = hashlib.sha256()
    for name, column in columns.items():
        text = column.dtype.kind in "UO"
        data = "\0".join(column.tolist()).encode() if text else _bytes(column)
        total.update(f"{name}\0{'text' if text else column.dtype.kind}\0{column.size}\0".encode())
        total.update(hashlib.sha256(data).digest())
    return total.hexdigest()


def _bytes(column: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(column, dtype=column.dtype.newbyteorder("<")).tobytes()


def fill_columns(fills: Fills, timestamps: Ints, symbols: Sequence[str]) -> Columns:
    """Return the fills table; ``quantity`` is above 0 and ``side`` says buy or sell."""
    return {
        "timestamp": timestamps[fills.bar],
        "vt_symbol": _names(symbols)[fills.symbol],
        "side": np.where(fills.quantity > 0, "buy", "sell"),
        "quantity": np.abs(fills.quantity),
        "price": fills.price,
        "fee": fills.fee,
        "order_id": fills.order_id,
        "tag": _TAGS[fills.tag],
    }


def position_columns(fills: Fills, timestamps: Ints, symbols: Sequence[str]) -> Columns:
    """Return the position after each fill: signed quantity and average entry price.

    ``sequence`` numbers the fills in the order in which they happened.
    """
    return {
        "timestamp": timestamps[fills.bar],
        "vt_symbol": _names(symbols)[fills.symbol],
        "quantity": fills.position,
        "average_price": fills.average_price,
        "order_id": fills.order_id,
        "sequence": np.arange(fills.bar.size),
    }


def order_columns(orders: Orders, timestamps: Ints, symbols: Sequence[str]) -> Columns:
    """Return the orders table; a target that never filled has a NaN quantity, and a reason.

    ``limit`` and ``stop`` are NaN for orders that have none.
    """
    return {
        "order_id": orders.order_id,
        "created": timestamps[orders.created],
        "closed": timestamps[orders.closed],
        "vt_symbol": _names(symbols)[orders.symbol],
        "type": np.array(KINDS)[orders.kind],
        "weight": orders.weight,
        "quantity": orders.quantity,
        "status": _STATUS[orders.status],
        "reason": np.array(REASONS)[orders.reason],
        "limit": orders.limit,
        "stop": orders.stop,
        "tif": np.array(TIFS)[orders.tif],
    }


def trade_columns(
    fills: Fills, market: Market, params: Params, symbols: Sequence[str], conditions: Conditions
) -> Columns:
    """Return the trades table: FIFO round trips, see `runtimes.engine.trades.Trades`.

    Results are in the account's currency, at the rate of the bar of the exit; prices are not.
    Shares and prices are those of the exit, after the splits in between.
    """
    trades = matched(fills, market, conditions.actions, fill=params.fill)
    columns: Columns = {
        "vt_symbol": _names(symbols)[trades.symbol],
        "side": np.where(trades.quantity > 0, "long", "short"),
        "entry_time": market.timestamps[trades.entry],
        "exit_time": market.timestamps[trades.exit],
        "entry_price": trades.entry_price,
        "exit_price": trades.exit_price,
        "quantity": np.abs(trades.quantity),
    }
    worth = _worth(trades, conditions)
    columns |= {name: getattr(trades, name) * worth for name in ("pnl", "fees", "mae", "mfe")}
    return columns | {"bars": trades.bars}


def _worth(trades: Trades, conditions: Conditions) -> Floats:
    """Return what a unit of each trade's currency is worth when it closes (K,)."""
    if not conditions.rates.size or not conditions.terms.size:
        return np.ones(trades.exit.size)
    currency = conditions.terms["currency"][trades.symbol]
    own = currency == 0
    foreign = conditions.rates[trades.exit, np.maximum(currency - 1, 0)]
    return np.where(own, 1.0, foreign)


def _names(symbols: Sequence[str]) -> NDArray[np.str_]:
    return np.array(symbols, dtype=np.str_)
