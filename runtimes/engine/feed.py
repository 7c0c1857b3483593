"""A simulation whose bars come one at a time: nobody knows the next one, arrays grow behind it.

The kernel indexes bars by number, so it works on buffers with room behind the last bar. A feed that
was given the bars of a market one by one is that market's simulation, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.engine.arrays import (
    ACTION,
    FIRST_OF_SESSION,
    IS_RUINED,
    LAST_OF_SESSION,
    Conditions,
    Floats,
    Ints,
    Market,
    Params,
    Records,
    Targets,
    each,
    frozen,
    surrounded,
)
from runtimes.engine.checks import check_conditions, check_market, first_invalid, refuse_row
from runtimes.engine.errors import BadBarsError, instant
from runtimes.engine.kernel import decide
from runtimes.engine.simulation import Simulation

A_SESSION = FIRST_OF_SESSION | LAST_OF_SESSION
ROOM = 1_024
"""Bars that there is room for at first; it doubles."""
QUOTED, MOVING = 8, 2
"""Rows of a bar's quotes and of what its market moves by."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of N symbols and what is known with it, at its end.

    ``prices`` (5, N) are open, high, low, close and volume, NaN for no bar. ``session`` has the
    bits of `Conditions.flags`; without sessions each bar is one. ``quotes`` (8, N), ``impact``
    (2, N) and ``rates`` (C - 1,) are one bar of the `Conditions` of that name. ``actions`` are
    (symbol, kind, value), due before this bar's open.
    """

    timestamp: int
    prices: Floats
    session: int = A_SESSION
    quotes: Floats | None = None
    impact: Floats | None = None
    rates: Floats | None = None
    actions: tuple[tuple[int, int, float], ...] = ()


def bars_of(market: Market, conditions: Conditions | None = None, *, first: int) -> Iterator[Bar]:
    """Yield the bars of a known market from ``first`` on, as they would have come."""
    around = surrounded(conditions)
    for t in range(first, market.timestamps.size):
        due = around.actions[around.actions["bar"] == t]
        yield Bar(
            int(market.timestamps[t]),
            np.array([column[t] for column in market[1:]]),
            int(around.flags[t]) if around.flags.size else A_SESSION,
            around.quotes[:, t] if around.quotes.size else None,
            around.impact[:, t] if around.impact.size else None,
            around.rates[t] if around.rates.size else None,
            tuple((int(row.symbol), int(row.kind), float(row.value)) for row in due),
        )


class Feed(Simulation):
    """One account over bars that come one by one: `append`, `enter`, decide, `leave`.

    ``history`` are the bars before the first that is traded, for look-back, ``terms`` (N,) those of
    trade, see `Simulation` for the rest.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        params: Params,
        *,
        history: Market | None = None,
        terms: Records | None = None,
        latch: Ints | None = None,
        adjust: str = "total",
        raw: Sequence[str] | None = None,
        warmup: int = 1,
    ) -> None:
        past = frozen(history or _nothing(len(symbols)))
        if past.timestamps.size:
            check_market(past, symbols)
        self.symbols, self.first, self.total = tuple(symbols), past.timestamps.size, 0
        self._room = max(ROOM, 2 * self.first)
        self._bars = each(past, lambda column: _larger(column, self._room))
        bare = surrounded(None)._replace(flags=np.zeros(self.first, np.int64))
        bare = bare if terms is None else bare._replace(terms=terms)
        foreign = int(bare.terms["currency"].max(initial=0))
        self._around = bare._replace(
            flags=_larger(bare.flags, self._room), rates=np.full((self._room, foreign), np.nan)
        )
        self._decided = Targets(np.full(ROOM, -1, np.int64), np.zeros((ROOM, len(symbols))))
        self._decisions, self._invalid = 0, None
        self._show()
        self._open(params, latch=latch, told=(adjust, raw, warmup))

    @property
    def known(self) -> Market:
        """Return the bars up to the last one, look-back included; (T, N) views."""
        return each(self.market, lambda column: column[: self.first + self.total])

    def append(self, bar: Bar) -> None:
        """Take over the next bar; one that breaks a rule raises `BadBarsError` and is forgotten."""
        t = self.first + self.total
        self._check(bar, t)
        if t == self._room:
            self._grow()
        self._bars.timestamps[t] = bar.timestamp
        for column, values in zip(self._bars[1:], bar.prices, strict=True):
            column[t] = values
        self._surround(bar, t)
        self.total += 1
        if self._curve.equity.size < self.total:
            self._handle = None
            self._curve = each(self._curve, lambda column: _longer(column, self._room))

    def ask(self, weights: Floats) -> None:
        """Decide at the last bar's close for ``weights`` (N,); impossible ones raise."""
        now = self.first + self.total - 1
        if first_invalid(weights[None, :], leverage=self.params.leverage) == 0:
            refuse_row(
                weights,
                timestamp=int(self.market.timestamps[now]),
                symbols=self.symbols,
                leverage=self.params.leverage,
            )
        row = self._decisions
        if row == self._decided.rows.size:
            self._decided = Targets(
                _longer(self._decided.rows, 2 * row, -1), _longer(self._decided.weights, 2 * row)
            )
            self._show()
        self._decided.rows[row] = now + self.params.lag - 1
        self._decided.weights[row] = weights
        self._decisions += 1

    def decide(self) -> None:
        """Open the targets that are due at this close; between `enter` and `leave`."""
        if not self.state.counters[IS_RUINED]:
            decide(self.bar, self._targets, self.state, self.orders, self.params)

    def _check(self, bar: Bar, t: int) -> None:
        shape = (5, len(self.symbols))
        if bar.prices.shape != shape:
            raise BadBarsError(
                f"A bar of {shape[1]} symbols must have shape {shape}.",
                hint="Give open, high, low, close and volume of every symbol.",
                rule="shape",
            )
        if t and bar.timestamp <= self._bars.timestamps[t - 1]:
            raise BadBarsError(
                "Timestamps must increase from bar to bar.",
                hint="Leave out what came before.",
                rule="timestamps increase",
                timestamps=[instant(bar.timestamp)],
            )
        alone = Market(np.array([bar.timestamp]), *(row[None, :] for row in bar.prices))
        check_market(frozen(alone), self.symbols)
        rates = np.zeros((1, 0)) if bar.rates is None else bar.rates[None, :]
        check_conditions(self._around._replace(rates=rates), alone, self.symbols)

    def _surround(self, bar: Bar, t: int) -> None:
        count, around = len(self.symbols), self._around
        if bar.quotes is not None and not around.quotes.size:
            around = around._replace(quotes=np.full((QUOTED, self._room, count), np.nan))
        if bar.impact is not None and not around.impact.size:
            around = around._replace(impact=np.full((MOVING, self._room, count), np.nan))
        around.flags[t] = bar.session
        if bar.quotes is not None:
            around.quotes[:, t] = bar.quotes
        if bar.impact is not None:
            around.impact[:, t] = bar.impact
        if bar.rates is not None:
            around.rates[t] = bar.rates
        due = np.array([(t, *action) for action in bar.actions], dtype=ACTION)
        self._around = around._replace(actions=np.concatenate([around.actions, due]))
        self._show()

    def _grow(self) -> None:
        """Double the room for bars."""
        room = 2 * self._room
        around = self._around
        self._bars = each(self._bars, lambda column: _longer(column, room))
        self._around = around._replace(
            flags=_longer(around.flags, room),
            rates=_longer(around.rates, room),
            quotes=_longer(around.quotes, room, axis=1) if around.quotes.size else around.quotes,
            impact=_longer(around.impact, room, axis=1) if around.impact.size else around.impact,
        )
        self._room = room

    def _show(self) -> None:
        """Let the kernel see the buffers as they are now: read-only views of the same memory."""
        self.market = frozen(self._bars)
        self._conditions = surrounded(self._around)
        self._targets = Targets(_seen(self._decided.rows), _seen(self._decided.weights))
        self._handle = None


def _nothing(symbols: int) -> Market:
    return Market(np.zeros(0, np.int64), *(np.zeros((0, symbols)) for _ in range(5)))


def _larger(values: NDArray[Any], room: int) -> NDArray[Any]:
    return _longer(np.array(values), room)


def _longer(values: NDArray[Any], room: int, fill: float = 0, *, axis: int = 0) -> NDArray[Any]:
    """Return a copy with ``room`` rows along ``axis``; the new ones hold ``fill``."""
    shape = list(values.shape)
    shape[axis] = room - shape[axis]
    return np.concatenate([values, np.full(shape, fill, values.dtype)], axis=axis)


def _seen(values: NDArray[Any]) -> NDArray[Any]:
    view = values.view()
    view.flags.writeable = False
    return view
