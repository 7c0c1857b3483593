"""The engine's door: a `Simulation` that advances in chunks, and `drive` that runs it to the end.

simulation = Simulation(market, symbols, targets, params, latch=counter)
try:
    drive(simulation, progress)
except HaltedError:
    keep(simulation.result())       # partial, up to the bar reached
    raise
keep(simulation.result())
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from runtimes.engine import notices
from runtimes.engine.arrays import (
    BAR,
    BOOKED,
    CHUNK,
    DONE,
    FILLED,
    FILLS,
    LATCH,
    OPEN,
    ORDER_ID,
    ORDERS,
    QUIET,
    RUINED,
    SPACE,
    Conditions,
    Fills,
    Ints,
    Market,
    Orders,
    Params,
    Records,
    Targets,
    each,
    frozen,
    named,
    new_state,
    new_worth,
    read_only,
    records,
    surrounded,
)
from runtimes.engine.checks import (
    check_conditions,
    check_market,
    check_targets,
    first_invalid,
    refuse_row,
)
from runtimes.engine.compiled import bare
from runtimes.engine.curve import Curve
from runtimes.engine.errors import EngineFaultError
from runtimes.engine.held import Handle, Held
from runtimes.engine.kernel import ROOM, SLICED, run
from runtimes.engine.orders import GTC, MARKET, NO_BAR, NO_LIQUIDITY, new_book
from runtimes.engine.params import make
from runtimes.engine.results import (
    Result,
    fill_table,
    order_table,
    position_table,
    trade_table,
)
from runtimes.engine.turning import turn
from topology.frames import Progress

CHUNK_BARS = 65_536
CHUNK_SECONDS = 0.25
CHUNKS = 20
FIRST_CELLS = 500_000
"""Bars times symbols of the first chunk, before the speed of this machine is known."""
BUFFER_ROWS, MOST_ROWS = 8_192, 1_000_000
"""Least rows of the output buffers, and how many are made for decisions to fill."""
NO_LATCH = np.zeros(1, dtype=np.int64)


class Simulation:
    """One account over one market: all state in arrays, advanced in chunks of any size.

    ``market`` has bars (T, N) of ``symbols``, sorted by name; bars before ``first`` are look-back
    and are not simulated. ``targets`` holds decisions (R,), (R, N). ``latch`` (1,) is an int64
    view of the halt latch's change counter. ``adjust``, ``raw`` (symbols whose corporate actions
    are unknown, None for all) and ``warmup`` (bars a strategy needs) only decide what the warnings
    say. Broken bars raise `BadBarsError`, impossible shapes
    `InvalidWeightsError`; an impossible weight raises it at its bar, with the result so far kept.
    """

    _named: tuple[Any, ...] = ()

    def __init__(
        self,
        market: Market,
        symbols: Sequence[str],
        targets: Targets,
        params: Params,
        *,
        conditions: Conditions | None = None,
        first: int = 0,
        latch: Ints | None = None,
        adjust: str = "total",
        raw: Sequence[str] | None = None,
        warmup: int = 1,
    ) -> None:
        market = frozen(market)
        check_market(market, symbols, first=first)
        bars, count = market.close.shape
        check_targets(targets, bars=bars, symbols=count)
        self.market, self.symbols = market, tuple(symbols)
        self.first, self.total = first, bars - first
        self._conditions = surrounded(conditions)
        check_conditions(self._conditions, market, symbols, first=first)
        self._targets = delayed(targets, first=first, bars=bars, lag=params.lag)
        invalid = first_invalid(self._targets.weights, leverage=params.leverage)
        self._invalid = invalid if invalid < len(self._targets.rows) else None
        self._open(params, latch=latch, told=(adjust, raw, warmup))

    def _open(
        self, params: Params, *, latch: Ints | None, told: tuple[str, Sequence[str] | None, int]
    ) -> None:
        """Open a flat account before bar ``first``, with buffers for what it will do."""
        count = len(self.symbols)
        self.params, self._told = params, told
        self._latch = _watched(NO_LATCH if latch is None else latch)
        self._word = memoryview(cast("Any", self._latch))
        self._seen = int(self._latch[0])
        self.state = new_state(
            count, cash=params.cash, terms=self._conditions.terms, settlement=params.settlement
        )
        self.state.counters[BAR] = self.first
        self.book = new_book()
        self._scratch = np.zeros(self.book.size)
        self._curve = new_worth(self.total)
        capacity = self._capacity()
        self.fills, self.orders = _buffer(Fills, capacity), _buffer(Orders, capacity)
        self.flushes = 0
        self._handle: Handle | None = None
        self._fill_blocks: list[Records] = []
        self._order_blocks: list[Records] = []

    def _capacity(self) -> int:
        """Return how many rows hold all that the decisions may do, or else a good part of it.

        Memory that is not written costs nothing.
        """
        expected = min(self._targets.weights.size, MOST_ROWS)
        return max(BUFFER_ROWS, expected + ROOM * len(self.symbols))

    @property
    def bar(self) -> int:
        """Return the next bar to simulate, look-back counted."""
        return int(self.state.counters[BAR])

    @property
    def conditions(self) -> Conditions:
        """Return what surrounds the bars."""
        return self._conditions

    @property
    def has_actions(self) -> bool:
        """Tell whether corporate actions are booked."""
        return bool(self._conditions.actions.size)

    @property
    def current(self) -> int:
        """Return how many bars have been simulated."""
        return int(self.state.counters[BAR]) - self.first

    @property
    def done(self) -> bool:
        """Tell whether every bar has been simulated."""
        return bool(self.current == self.total)

    def advance(self, bars: int = CHUNK_BARS) -> int:
        """Simulate up to ``bars`` more bars and return DONE, CHUNK or LATCH.

        LATCH means that the latch's counter moved: look at the scopes, then advance again or
        stop; nothing is lost. A weight that cannot be held raises `InvalidWeightsError` once the
        bars before its decision are done.
        """
        stop = min(self.first + self.current + bars, self.first + self.total)
        if self._invalid is not None:
            stop = min(stop, int(self._targets.rows[self._invalid]))
        while True:
            bar = self.bar
            conditions, book, orders, fills = self._rows()
            status = run(
                bar,
                stop,
                self.first,
                self._latch,
                self._seen,
                self.market,
                conditions,
                self._targets,
                self.state,
                book if self._booked() else None,
                self._scratch,
                orders,
                fills,
                self._curve,
                self.params,
            )
            if status == SPACE:
                self._make_room(bar)
            elif status == LATCH:
                self._seen = int(self._latch[0])
                return LATCH
            elif status != RUINED:
                self._refuse_invalid(stop)
                return DONE if self.done else CHUNK

    def enter(self, bar: int | None = None) -> int:
        """Bring the next bar, or a later ``bar``, to its decision; `leave` ends it.

        For who decides bar by bar. Returns DONE, or LATCH between two bars as `advance` does.
        """
        bar = self.bar if bar is None else bar
        while status := turn(self.handle.number, bar, self._seen, 0):
            if status == LATCH:
                return LATCH
            self._flush()
            self.make_room_for(0)
        return DONE

    def leave(self, ahead: int = 0) -> int:
        """Fill what fills at this close and write the bar's row.

        Returns the bar before which nothing can happen by itself, see `turning.quiet`.
        """
        turn(self.handle.number, self.bar, self._seen, ahead)
        return int(self.state.counters[QUIET])

    @property
    def handle(self) -> Handle:
        """Return everything that compiled code needs, and the number by which it finds that."""
        if self._handle is None:
            conditions, book, orders, fills = self._rows()
            self._handle = Handle(
                Held(
                    self.first,
                    self._latch,
                    self.market,
                    conditions,
                    self._targets,
                    self.state,
                    book,
                    self._scratch,
                    orders,
                    fills,
                    self._curve,
                    self.params,
                )
            )
        return self._handle

    def _rows(self) -> tuple[Conditions, Records, Records, Records]:
        """Return conditions, book, orders and fills the way compiled code takes them fastest."""
        around, book, orders, fills = self._conditions, self.book, self.orders, self.fills
        named = self._named
        if not (
            named
            and named[0] is around
            and named[1] is book
            and named[2] is orders
            and named[3] is fills
        ):
            self._named = (around, book, orders, fills)
            plain = around._replace(actions=bare(around.actions), terms=bare(around.terms))
            self._plain = (plain, bare(book), bare(orders), bare(fills))
        return self._plain

    def make_room_for(self, more: int) -> None:
        """Make room for ``more`` orders in the book and for whatever they and a bar may write."""
        used = int(self.state.counters[BOOKED])
        if used + more > self.book.size:
            self.book = _grown(self.book, used, new_book(2 * (used + more)))
            self._scratch, self._handle = np.zeros(self.book.size), None
        counters = self.state.counters
        most = ROOM * (len(self.symbols) + 1) + 2 * (used + more)
        written = max(int(counters[FILLS]), int(counters[ORDERS]))
        if written + most > self.fills.size:  # inside a bar nothing may be flushed
            rows = 2 * (written + most)
            self.fills = _grown(self.fills, int(counters[FILLS]), records(Fills, rows))
            self.orders = _grown(self.orders, int(counters[ORDERS]), records(Orders, rows))
            self._handle = None

    def disturbed(self) -> bool:
        """Tell whether the latch's counter has moved since it was last looked at."""
        return bool(self._word[0] != self._seen)

    def calmed(self) -> None:
        """Remember the latch's counter as it is now."""
        self._seen = int(self._latch[0])

    def result(self) -> Result:
        """Return the records so far; ``partial`` unless every bar was simulated."""
        self._flush()
        fills, orders = joined(self._fill_blocks), joined([*self._order_blocks, self._waiting()])
        curve = Curve(each(self._curve, lambda c: c[: self.current]), start=self.params.cash)
        times, market, symbols = self.market.timestamps, self.market, self.symbols
        params, around = self.params, self._conditions
        told = _telling(orders, params)
        warnings = [
            *self._about_data(),
            *notices.about_run(curve, fills, told, self.state, params, symbols=symbols),
        ]
        return Result(
            timestamps=times[self.first : self.first + self.current],
            curve=curve,
            fills=fill_table(fills, times, symbols),
            orders=order_table(orders, times, symbols),
            trades=trade_table(fills, market, params, symbols, around),
            positions=position_table(fills, times, symbols),
            warnings=tuple(warnings),
            partial=not self.done,
        )

    def _about_data(self) -> list[notices.Notice]:
        """Return what the bars, and what is known of them, make doubtful."""
        adjust, raw, warmup = self._told
        known = each(self.market, lambda column: column[: self.first + self.total])
        symbols, first = self.symbols, self.first
        return [
            *notices.about_market(known, symbols, first=first),
            *notices.about_actions(adjust, symbols if raw is None else raw),
            *notices.about_look_back(known, symbols, first=first, warmup=warmup),
        ]

    def _booked(self) -> bool:
        """Tell whether explicit orders can arise; without them the kernel is a smaller one."""
        return bool(
            self.state.counters[BOOKED] or self.has_actions or self.params.maintenance > 0.0
        )

    def _refuse_invalid(self, stop: int) -> None:
        if self._invalid is None or stop != int(self._targets.rows[self._invalid]):
            return
        if int(self.state.counters[BAR]) == stop:
            refuse_row(
                self._targets.weights[self._invalid],
                timestamp=int(self.market.timestamps[stop - self.params.lag + 1]),
                symbols=self.symbols,
                leverage=self.params.leverage,
            )

    def _make_room(self, bar: int) -> None:
        if not self.state.counters[FILLS] and not self.state.counters[ORDERS]:
            raise EngineFaultError("The output buffers are too small for one bar.", bar=bar)
        self._flush()

    def _flush(self) -> None:
        """Keep what the kernel wrote; its buffers are then empty again, full ones are new ones.

        Nothing that a result holds is written to again.
        """
        counters = self.state.counters
        fills, orders = self.fills[: counters[FILLS]], self.orders[: counters[ORDERS]]
        if 2 * max(fills.size, orders.size) > self.fills.size:
            rows, self._handle = self.fills.size, None
            self.fills, self.orders = _buffer(Fills, rows), _buffer(Orders, rows)
        else:
            fills, orders = copied(fills), copied(orders)
        self._fill_blocks.append(fills)
        self._order_blocks.append(orders)
        counters[FILLS] = counters[ORDERS] = 0
        self.flushes += 1

    def _waiting(self) -> Records:
        """Return the targets that wait for a bar, then the open orders of the book."""
        state = self.state
        waiting = np.flatnonzero(state.pending)
        booked = self.book[: int(state.counters[BOOKED])]
        still = records(Orders, waiting.size + booked.size)
        targets, explicit = still[: waiting.size], still[waiting.size :]
        still["closed"], still["status"] = max(self.bar - 1, 0), OPEN
        targets["order_id"] = np.arange(1, waiting.size + 1) + state.counters[ORDER_ID]
        targets["created"], targets["symbol"] = state.created[waiting], waiting
        targets["kind"], targets["tif"] = MARKET, GTC
        sliced = state.pending[waiting] == SLICED
        targets["reason"] = np.where(sliced, NO_LIQUIDITY, NO_BAR)
        targets["weight"] = state.weight[waiting]
        for name in ("quantity", "limit", "stop"):
            targets[name] = np.nan
        for name in ("order_id", "created", "symbol", "kind", "tif", "filled", "limit", "stop"):
            explicit[name] = booked[name]
        explicit["weight"] = np.nan
        explicit["quantity"] = booked["quantity"] + booked["filled"]
        return still


def _telling(orders: Records, params: Params) -> Records:
    """Return the orders that a notice may be about: filled ones only where volume cut them."""
    return orders if params.participation else orders[orders["status"] != FILLED]


def delayed(targets: Targets, *, first: int, bars: int, lag: int) -> Targets:
    """Return the decisions from bar ``first`` on, each ``lag`` - 1 bars later.

    From there on they meet the next bar. Those that come behind the last of ``bars`` are gone.
    """
    since = int(np.searchsorted(targets.rows, first))
    rows = targets.rows[since:] + (lag - 1)
    inside = int(np.searchsorted(rows, bars))
    weights = targets.weights[since : since + inside]
    return Targets(read_only(rows[:inside], np.int64), read_only(weights, np.float64))


def copied(rows: Records) -> Records:
    """Return a copy of contiguous rows, as bytes: field by field it takes ten times as long."""
    plain = np.asarray(rows)
    return named(plain.view(np.uint8).copy().view(plain.dtype))


def joined(blocks: Sequence[Records]) -> Records:
    """Return the rows of all blocks, of the only one that has any without a copy."""
    filled = [np.asarray(block) for block in blocks if block.size] or [np.asarray(blocks[0])]
    if len(filled) == 1:
        return named(filled[0])
    rows = np.concatenate([block.view(np.uint8) for block in filled])
    return named(rows.view(filled[0].dtype))


def _buffer(columns: type[tuple[Any, ...]], rows: int) -> Records:
    """Return room for ``rows`` records, unwritten: the kernel writes every field of a row."""
    return named(np.empty(rows, records(columns, 0).dtype))


def _grown(rows: Records, used: int, larger: Records) -> Records:
    larger[:used] = rows[:used]
    return larger


def drive(
    simulation: Simulation,
    progress: Progress,
    *,
    monotonic: Callable[[], float] = time.perf_counter,
) -> None:
    """Advance ``simulation`` to its end in chunks, each at most 65,536 bars, T/20 or 250 ms.

    Before every chunk, and when the latch's counter moves inside one, ``progress.checkpoint()``
    decides whether the run may go on; what it raises passes through and the simulation keeps what
    it has. Each chunk emits one ``bar.processed`` frame. The size of chunks never changes results.
    """
    symbols = max(len(simulation.symbols), 1)
    ceiling = min(CHUNK_BARS, max(math.ceil(simulation.total / CHUNKS), 1))
    size = max(min(ceiling, FIRST_CELLS // symbols), 1)
    while not simulation.done:
        progress.checkpoint()
        before, began = simulation.current, monotonic()
        status = simulation.advance(size)
        took, moved = monotonic() - began, simulation.current - before
        if status == LATCH:
            continue
        size = max(min(ceiling, _fitting(moved, took)), 1)
        progress.emit(
            "bar.processed",
            f"Bar {simulation.current} of {simulation.total}.",
            current=simulation.current,
            total=simulation.total,
        )


def _fitting(moved: int, took: float) -> int:
    """Return how many bars fit half of the time bound, by the last chunk's speed."""
    return CHUNK_BARS if took <= 0 else int(moved / took * CHUNK_SECONDS / 2)


def warm() -> None:
    """Compile every kernel on two bars, or load them from the cache: for workers, before runs."""
    market = Market(np.array([0, 1]), *(np.ones((2, 1)) for _ in range(5)))
    targets = Targets(np.array([0]), np.ones((1, 1)))
    simulation = Simulation(market, ("A",), targets, make())
    simulation.advance()
    simulation.result()


def _watched(latch: Ints) -> Ints:
    """Return a read-only view of the same memory: a copy would never see a halt."""
    view = read_only(latch, np.int64)
    if latch.shape != (1,) or not np.shares_memory(view, latch):
        raise ValueError("latch must be a contiguous int64 array of shape (1,)")
    return view
