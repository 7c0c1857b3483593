"""What a simulation leaves: a curve, fills, orders, trades and positions as named columns.

Columns are numpy arrays under the names of the public result tables, so that whoever stores them
adds only the run's id. Times are int64 ns UTC; ``vt_symbol``, ``side`` and the like are text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from runtimes.engine.arrays import Conditions, Floats, Ints, Market, Params, Records
from runtimes.engine.curve import Curve
from runtimes.engine.orders import KINDS, REASONS, TIFS
from runtimes.engine.restated import matched
from runtimes.engine.trades import Excursions, Trades

Columns = dict[str, NDArray[Any]]
Named = Mapping[str, NDArray[Any]]
_TAGS = np.array(["target", "ruin", "order", "margin_call", "delisted"])
_STATUS = np.array(["filled", "cancelled", "open", "expired", "rejected"])


class Table(Named):
    """Columns of equal length, each made when somebody first looks at it."""

    def __init__(self, made: Mapping[str, Callable[[], NDArray[Any]]]) -> None:
        self._make = dict(made)
        self._columns: Columns = {}

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._columns:
            self._columns[name] = self._make[name]()
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._make)

    def __len__(self) -> int:
        return len(self._make)


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


def fill_table(fills: Records, timestamps: Ints, symbols: Sequence[str]) -> Table:
    """Return the fills table; ``quantity`` is above 0 and ``side`` says buy or sell."""
    return Table(
        {
            "timestamp": lambda: timestamps[fills["bar"]],
            "vt_symbol": lambda: _names(symbols)[fills["symbol"]],
            "side": lambda: np.where(fills["quantity"] > 0, "buy", "sell"),
            "quantity": lambda: np.abs(fills["quantity"]),
            **_fields(fills, "price", "fee", "order_id"),
            "tag": lambda: _TAGS[fills["tag"]],
        }
    )


def position_table(fills: Records, timestamps: Ints, symbols: Sequence[str]) -> Table:
    """Return the position after each fill: signed quantity and average entry price.

    ``sequence`` numbers the fills in the order in which they happened.
    """
    return Table(
        {
            "timestamp": lambda: timestamps[fills["bar"]],
            "vt_symbol": lambda: _names(symbols)[fills["symbol"]],
            "quantity": lambda: np.ascontiguousarray(fills["position"]),
            **_fields(fills, "average_price", "order_id"),
            "sequence": lambda: np.arange(fills.size),
        }
    )


def order_table(orders: Records, timestamps: Ints, symbols: Sequence[str]) -> Table:
    """Return the orders table; a target that never filled has a NaN quantity, and a reason.

    ``limit`` and ``stop`` are NaN for orders that have none.
    """
    return Table(
        {
            **_fields(orders, "order_id"),
            "created": lambda: timestamps[orders["created"]],
            "closed": lambda: timestamps[orders["closed"]],
            "vt_symbol": lambda: _names(symbols)[orders["symbol"]],
            "type": lambda: np.array(KINDS)[orders["kind"]],
            **_fields(orders, "weight", "quantity"),
            "status": lambda: _STATUS[orders["status"]],
            "reason": lambda: np.array(REASONS)[orders["reason"]],
            **_fields(orders, "limit", "stop"),
            "tif": lambda: np.array(TIFS)[orders["tif"]],
        }
    )


def _fields(rows: Records, *names: str) -> dict[str, Callable[[], NDArray[Any]]]:
    """Return what copies each of these fields out of ``rows``."""
    return {name: partial(_field, rows, name) for name in names}


def _field(rows: Records, name: str) -> NDArray[Any]:
    return np.ascontiguousarray(rows[name])


def trade_table(
    fills: Records, market: Market, params: Params, symbols: Sequence[str], conditions: Conditions
) -> Table:
    """Return the trades table: FIFO round trips, see `runtimes.engine.trades.Trades`.

    Results are in the account's currency, at the rate of the bar of the exit; prices are not.
    Shares and prices are those of the exit, after the splits in between.
    """

    @cache
    def found() -> tuple[Trades, Callable[[], Excursions]]:
        return matched(fills, market, conditions.actions, fill=params.fill)

    @cache
    def extremes() -> Excursions:
        return found()[1]()

    def own(name: str) -> Callable[[], NDArray[Any]]:
        return lambda: np.asarray(getattr(found()[0], name))

    def money(name: str, of: Callable[[], NamedTuple]) -> Callable[[], NDArray[Any]]:
        return lambda: np.asarray(getattr(of(), name) * _worth(found()[0], conditions))

    return Table(
        {
            "vt_symbol": lambda: _names(symbols)[found()[0].symbol],
            "side": lambda: np.where(found()[0].quantity > 0, "long", "short"),
            "entry_time": lambda: market.timestamps[found()[0].entry],
            "exit_time": lambda: market.timestamps[found()[0].exit],
            "entry_price": own("entry_price"),
            "exit_price": own("exit_price"),
            "quantity": lambda: np.abs(found()[0].quantity),
            "pnl": money("pnl", lambda: found()[0]),
            "fees": money("fees", lambda: found()[0]),
            "mae": money("mae", extremes),
            "mfe": money("mfe", extremes),
            "bars": own("bars"),
        }
    )


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
