"""Orders whose ground moves under them: exits of half-filled entries, splits, changes. By hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimes.engine.arrays import ACTION, BOOKED, SPLIT, TERMS, named, surrounded
from runtimes.engine.orders import LIMIT, STOP, place
from runtimes.engine.params import make
from runtimes.engine.simulation import Simulation
from tests.kit.engine import names, random_market
from tests.runtimes.engine.test_scripting import NONE, A, bars, fills, run

QUIET = (10.0, 10.0, 10.0, 10.0)
Bar = tuple[float, float, float, float]
CAPPED = make(cash=1e6, leverage=4, participation=0.1)
"""100 shares a fill of the 1,000 that each bar of `bars` has."""
EXIT_FILLED = "an exit of its bracket filled"
OTHER_FILLED = "the other order of its group filled"
TOO_SMALL = "a split left less than one lot of it"


def split(*actions: tuple[int, float], lot: float | None = None) -> Any:
    """Return conditions with splits (bar, factor on the price) of the one symbol."""
    rows = np.array([(bar, 0, SPLIT, factor) for bar, factor in actions], dtype=ACTION)
    around = surrounded(None)._replace(actions=named(rows))
    if lot is None:
        return around
    return around._replace(terms=named(np.array([(lot, 0.0, 0)], dtype=TERMS)))


def mirrored(*rows: Bar) -> list[Bar]:
    """Return the bars that do to a short position from 10 what ``rows`` do to a long one."""
    return [(20 - o, 20 - low, 20 - high, 20 - c) for o, high, low, c in rows]


DIP, UP, DOWN = (10.0, 10.0, 9.9, 10.0), (11.0, 12.5, 10.5, 12.0), (9.5, 9.6, 8.5, 9.0)
"""Bars that reach a limit to buy at 10; a target at 12; a stop at 9, and the limit too."""


class TestAnExitOfAHalfFilledEntry:
    """An entry of 250 with its target at 12 and its stop at 9; each fill is at most 100 shares."""

    @pytest.mark.parametrize("sign", [1, -1], ids=["long", "short"])
    @pytest.mark.parametrize(
        ("kind", "rows", "expected", "ended"),
        [
            pytest.param(
                "limit",
                [QUIET, DIP, UP, DIP, DOWN],
                [(1, 100, 10), (2, -100, 12)],
                [(2, EXIT_FILLED), (2, OTHER_FILLED)],
                id="the target while the entry rests",
            ),
            pytest.param(
                "limit",
                [QUIET, DIP, DOWN, DIP, UP],
                [(1, 100, 10), (2, -100, 9)],
                [(2, EXIT_FILLED), (2, OTHER_FILLED)],
                id="the stop, in a bar that reaches the entry too",
            ),
            pytest.param(
                "market",
                [QUIET, QUIET, (10, 12.5, 10, 11), UP, DOWN],
                [(1, 100, 10), (2, 100, 10), (2, -100, 12), (3, -100, 12)],
                [(2, EXIT_FILLED), (3, OTHER_FILLED)],
                id="a slice of the target after the second slice of the entry",
            ),
            pytest.param(
                "market",
                [QUIET, QUIET, (10, 10, 8.5, 9.5), DOWN, UP],
                [(1, 100, 10), (2, 100, 10), (2, -100, 9), (3, -100, 9)],
                [(2, EXIT_FILLED), (3, OTHER_FILLED)],
                id="a slice of the stop after the second slice of the entry",
            ),
        ],
    )
    def test_ends_what_is_left_of_the_entry(
        self,
        kind: str,
        rows: list[Bar],
        expected: list[tuple[int, float, float]],
        ended: list[tuple[int, str]],
        sign: int,
    ) -> None:
        market = bars(*(rows if sign > 0 else mirrored(*rows)))
        limit = {"limit": 10.0} if kind == "limit" else {}
        exits = {"take_profit": 10.0 + 2 * sign, "stop_loss": 10.0 - sign}
        at = {0: lambda a: a.order(A, 250 * sign, kind, **limit, **exits)}
        script, result = run(market, at, CAPPED)
        assert fills(script) == [(t, q * sign, p if sign > 0 else 20 - p) for t, q, p in expected]
        cancelled = result.orders["status"] == "cancelled"
        heard = [(bar, why) for bar, status, _, _, why in script.heard if status == "cancelled"]
        assert heard == ended
        assert result.orders["reason"][cancelled].tolist() == [why for _, why in ended]

    def test_a_market_entry_at_closes_does_not_go_on_behind_its_stop(self) -> None:
        params = CAPPED._replace(fill=make(fill="next_close").fill)
        market = bars(QUIET, QUIET, (10, 10, 8.5, 8.5), QUIET, QUIET)
        at = {0: lambda a: a.order(A, 250, take_profit=12.0, stop_loss=9.0)}
        assert fills(run(market, at, params)[0]) == [(1, 100.0, 10.0), (2, -100.0, 9.0)]


class TestASplitThatTakesAnOrder:
    def test_an_order_of_less_than_a_lot_ends(self) -> None:
        market = bars(QUIET, QUIET, (100, 100, 100, 100), (100, 100, 50, 50))
        at = {0: lambda a: a.order(A, 7, "limit", limit=8.0)}
        script, result = run(market, at, conditions=split((2, 10.0)))
        assert [(t, status, reason) for t, status, _, _, reason in script.heard] == [
            (2, "cancelled", TOO_SMALL)
        ]
        assert result.orders["quantity"].tolist() == pytest.approx([0.7])

    @pytest.mark.parametrize(
        ("lot", "left"),
        [
            pytest.param(1.0, 2.0, id="a part of a share is dropped"),
            pytest.param(0.5, 2.5, id="halves"),
            pytest.param(0.0, 2.5, id="any fraction"),
        ],
    )
    def test_one_of_more_keeps_its_whole_lots(self, lot: float, left: float) -> None:
        market = bars(QUIET, QUIET, (100, 100, 100, 100), (100, 100, 50, 50))
        at = {0: lambda a: a.order(A, 25, "limit", limit=8.0)}
        script, result = run(market, at, conditions=split((2, 10.0), lot=lot))
        assert fills(script) == [(3, left, 80.0)]
        assert result.orders["status"].tolist() == ["filled"]

    @pytest.mark.parametrize("sign", [1, -1], ids=["long", "short"])
    def test_exits_end_with_the_position_that_they_close(self, sign: int) -> None:
        market = bars(QUIET, QUIET, (100, 100, 100, 100), (100, 200, 50, 50))
        exits = {"take_profit": 10.0 + 2 * sign, "stop_loss": 10.0 - sign}
        at = {0: lambda a: a.order(A, 7 * sign, **exits)}
        script, result = run(market, at, conditions=split((2, 10.0)))
        assert [(t, reason) for t, _, _, _, reason in script.heard] == [
            (1, ""),
            (2, TOO_SMALL),
            (2, TOO_SMALL),
        ]
        assert result.curve.equity.tolist() == pytest.approx([1e6] * 4)

    def test_exits_of_an_entry_that_ends_so_end_too(self) -> None:
        market = bars(QUIET, QUIET, (100, 100, 100, 100))
        at = {0: lambda a: a.order(A, 7, "limit", limit=8.0, take_profit=12.0, stop_loss=7.0)}
        _, result = run(market, at, conditions=split((2, 10.0)))
        assert result.orders["reason"].tolist() == [TOO_SMALL] * 3

    def test_exits_of_an_open_entry_wait_for_its_next_fill(self) -> None:
        # 5 of 100 shares fill; ten for one leaves none of them and 9 of the entry, then 5 fill.
        market = bars(QUIET, DIP, (100, 100, 100, 100), (100, 100, 99, 100), (100, 100, 80, 85))
        market.volume[:] = 50.0
        at = {0: lambda a: a.order(A, 100, "limit", limit=10.0, stop_loss=9.0)}
        script, result = run(market, at, CAPPED, conditions=split((2, 10.0)))
        assert fills(script) == [(1, 5.0, 10.0), (3, 5.0, 100.0), (4, -5.0, 90.0)]
        assert dict(zip(result.orders["reason"], result.orders["status"], strict=True)) == {
            "": "filled",
            EXIT_FILLED: "cancelled",
        }


@given(
    seed=st.integers(0, 10**6),
    quantity=st.integers(1, 400),
    buys=st.booleans(),
    kind=st.sampled_from(["market", "limit"]),
    factors=st.lists(st.sampled_from([0.5, 2.0, 7.0, 40.0]), max_size=2),
)
@settings(max_examples=40, deadline=None)
def test_a_position_never_lacks_its_stop(
    seed: int, quantity: int, *, buys: bool, kind: str, factors: list[float]
) -> None:
    """At every close both exits are as large as the position, whatever came before."""
    market = random_market(seed, bars=40, symbols=1)
    sign, first = (1 if buys else -1), float(market.close[0, 0])
    volume = np.full((40, 1), 170.0)
    around = split(*((5 + 6 * n, factor) for n, factor in enumerate(factors)))
    simulation = Simulation(
        market._replace(volume=volume), names(1), NONE, CAPPED, conditions=around
    )
    simulation.make_room_for(3)
    state, book = simulation.state, simulation.book
    common: dict[str, Any] = {"symbol": 0, "created": 0, "tif": 1}
    entry = place(
        state,
        book,
        kind=1 if kind == "limit" else 0,
        quantity=quantity * sign,
        limit=first,
        **common,
    )
    bracket = {"parent": entry, "group": entry, "waiting": 1, "quantity": -quantity * sign}
    place(state, book, kind=LIMIT, limit=first * (1 + 0.03 * sign), **bracket, **common)
    place(state, book, kind=STOP, stop=first * (1 - 0.03 * sign), **bracket, **common)
    while not simulation.done:
        simulation.enter()
        rows = book[: int(state.counters[BOOKED])]
        live = [row for row in rows if row.parent == entry and not row.waiting]
        assert all(row.quantity != 0.0 for row in live)
        assert [float(row.quantity) for row in live] == [-state.quantity[0]] * len(live)
        assert len(live) == (2 if state.quantity[0] else 0)
        simulation.leave()


class TestChanges:
    """A symbol whose prices step by 0.05."""

    def around(self) -> Any:
        terms = named(np.array([(1.0, 0.05, 0)], dtype=TERMS))
        return surrounded(None)._replace(terms=terms)

    def changed(self, change: dict[str, float], **asked: Any) -> bool:
        known: list[Any] = []
        at = {
            0: lambda a: known.append(a.order(A, -5, **asked)),
            1: lambda a: known.append(a.update(known[0], **change)),
        }
        run(bars(*[QUIET] * 3), at, conditions=self.around())
        return bool(known[1])

    @pytest.mark.parametrize(
        ("change", "done"),
        [({"trail": 0.033}, True), ({"quantity": -7}, True), ({"trail": 0}, False)],
    )
    def test_a_part_of_the_price_has_no_tick(self, change: dict[str, float], done: bool) -> None:
        assert self.changed(change, kind="trailing_stop", trail=0.021, relative=True) is done

    @pytest.mark.parametrize(("trail", "done"), [(0.75, True), (0.033, False)])
    def test_an_amount_has(self, trail: float, done: bool) -> None:
        assert self.changed({"trail": trail}, kind="trailing_stop", trail=0.5) is done

    @pytest.mark.parametrize(
        "asked",
        [
            pytest.param({"kind": "limit", "limit": 10.03, "relative": True}, id="a limit"),
            pytest.param(
                {"kind": "trailing_stop", "trail": 0.02, "relative": True, "stop_loss": 10.53},
                id="an exit",
            ),
        ],
    )
    def test_other_prices_of_a_relative_order_do(self, asked: dict[str, Any]) -> None:
        at = {0: lambda a: a.order(A, -5, **asked)}
        _, result = run(bars(*[QUIET] * 3), at, conditions=self.around())
        assert result.orders["reason"].tolist() == ["the order is impossible"]
