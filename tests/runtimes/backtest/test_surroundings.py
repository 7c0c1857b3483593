"""Corporate actions from factors, impact from the days before, quotes on the bars' calendar."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lakehouse.write import append_arrow
from runtimes.backtest import bars, surroundings
from runtimes.backtest.staging import simulate
from runtimes.context import Workshop
from runtimes.engine.arrays import (
    ACTION,
    DELISTING,
    DIVIDEND,
    SPLIT,
    Conditions,
    Floats,
    Market,
    Targets,
)
from runtimes.engine.errors import instant
from runtimes.engine.params import make
from runtimes.engine.results import Result
from runtimes.engine.simulation import Simulation
from runtimes.specs.backtest import BacktestSpec
from tests.kit.engine import DAY, sample_market
from tests.kit.market import SPEC_SHA, START, put, walks
from topology.errors import UnknownNameError
from topology.ids import new_id

NAN = np.nan
TABLE = "alphaswarm_silver_actions.bars_1d"


def column(*values: float) -> Floats:
    return np.array(values)[:, None]


class TestActions:
    def test_a_dividend_is_the_factor_s_part_of_the_close_before(self) -> None:
        price = column(0.98, 0.98, 1.0)
        rows = surroundings.actions(column(40, 50, 49), column(1, 1, 1), price, first=0)
        assert rows.tolist() == [(2, 0, DIVIDEND, pytest.approx(50 * 0.02))]

    def test_a_split_is_the_factor_on_the_price_and_comes_after_a_dividend(self) -> None:
        rows = surroundings.actions(column(50, 24), column(0.5, 1), column(0.98, 1), first=0)
        assert rows["kind"].tolist() == [DIVIDEND, SPLIT]
        assert rows["value"].tolist() == pytest.approx([1.0, 0.5])

    def test_an_event_in_a_gap_is_due_at_the_symbol_s_next_bar(self) -> None:
        rows = surroundings.actions(
            column(50, NAN, 25), column(0.5, NAN, 1), column(1, NAN, 1), first=0
        )
        assert rows.tolist() == [(2, 0, SPLIT, 0.5)]

    def test_a_symbol_that_ends_early_is_delisted_at_the_next_bar_of_the_others(self) -> None:
        close = np.array([[10.0, 5.0], [10.0, NAN], [10.0, NAN]])
        ones = np.where(np.isnan(close), NAN, 1.0)
        rows = surroundings.actions(close, ones, ones, first=0)
        assert rows.tolist() == [(1, 1, DELISTING, 0.0)]

    def test_nothing_is_due_before_there_can_be_a_position(self) -> None:
        rows = surroundings.actions(column(50, 25, 25), column(0.5, 1, 1), column(1, 1, 1), first=1)
        assert rows.size == 0


class TestImpact:
    def test_volume_and_volatility_are_those_of_the_days_before(self) -> None:
        close, volume = column(100, 110, 99, 99), column(10, 30, 50, 70)
        mean, sigma = surroundings.impact(np.arange(1, 5) * DAY, close, volume, days=2)[:, :, 0]
        assert mean.tolist() == pytest.approx([NAN, 10, 20, 40], nan_ok=True)
        assert sigma.tolist() == pytest.approx(
            [NAN, NAN, NAN, np.std([0.1, -0.1], ddof=1)], nan_ok=True
        )

    def test_bars_of_a_day_share_what_was_known_before_it(self) -> None:
        times = np.array([0.5, 0.8, 1.5, 1.8]) * DAY
        close, volume = column(10, 11, 12, 13), column(1, 2, 4, 8)
        known = surroundings.impact(times.astype(np.int64), close, volume, days=5)
        assert known[0, :, 0].tolist() == pytest.approx([NAN, NAN, 3, 3], nan_ok=True)

    def test_the_future_does_not_change_it(self) -> None:
        rng = np.random.default_rng(1)
        times, close = np.arange(1, 41) * DAY, 50 + rng.normal(size=(40, 2)).cumsum(axis=0)
        volume = rng.uniform(1, 9, (40, 2))
        whole = surroundings.impact(times, close, volume, days=5)
        cut = surroundings.impact(times[:30], close[:30], volume[:30], days=5)
        np.testing.assert_array_equal(whole[:, :30], cut)


def test_quotes_stand_on_the_calendar_of_the_bars() -> None:
    times = np.array([1, 2]) * 10**9
    found = pa.table(
        {
            "vt_symbol": ["B.X", "A.X", "C.X"],
            "timestamp": pa.array([2 * 10**6, 3 * 10**6, 10**6], pa.timestamp("us", tz="UTC")),
            **{name: np.arange(3.0) + place for place, name in enumerate(surroundings.QUOTES)},
        }
    )
    grid = surroundings.quoted(found, times, ("A.X", "B.X"))
    assert grid.shape == (8, 2, 2)
    assert grid[:, 1, 1].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert np.isnan(grid).sum() == 8 * 3


class TestApple:
    """Thirteen years of a real stock: two splits, three dividends."""

    @staticmethod
    def factors() -> tuple[Market, Floats, Floats]:
        """Return AAPL's raw bars, split factor and price factor, from its two closes."""
        whole, symbols = sample_market(adjusted=False)
        total, _ = sample_market()
        own = symbols.index("AAPL.NASDAQ")
        raw = Market(whole.timestamps, *(prices[:, [own]] for prices in whole[1:]))
        factor = total.close[:, [own]] / raw.close
        jumps = np.round(factor[1:] / factor[:-1])  # 2 at a split, 1 otherwise
        split = np.append(1 / np.cumprod(jumps[::-1])[::-1], 1.0)[:, None]
        price = factor / split
        steps = np.abs(price[1:] / price[:-1] - 1) > 1e-6  # the file's rounding is no dividend
        last = np.append(np.flatnonzero(steps), len(price) - 1)
        return raw, split, price[last[np.searchsorted(last, np.arange(len(price)))]]

    def held(self, market: Market, actions: np.ndarray | None = None) -> Result:
        """Buy at the second open, for all the money, without cost, and hold."""
        none = np.zeros((0, 0, 0))
        around = None if actions is None else Conditions(np.zeros(0, np.int64), none, none, actions)
        simulation = Simulation(
            market,
            ("AAPL.NASDAQ",),
            Targets(np.array([0]), np.ones((1, 1))),
            make(fractional=True),
            conditions=around,
        )
        simulation.advance()
        return simulation.result()

    def test_its_actions_are_those_of_the_record(self) -> None:
        raw, split, price = self.factors()
        rows = surroundings.actions(raw.close, split, price, first=0)
        days = [instant(int(raw.timestamps[bar]))[:10] for bar in rows["bar"]]
        assert list(zip(days, rows["kind"].tolist(), strict=True)) == [
            ("2000-06-21", SPLIT),
            ("2005-02-28", SPLIT),
            ("2012-08-09", DIVIDEND),
            ("2012-11-07", DIVIDEND),
            ("2013-02-07", DIVIDEND),
        ]
        assert rows["value"].tolist() == pytest.approx([0.5, 0.5, 2.65, 2.65, 2.65], abs=0.12)

    def test_booked_splits_are_split_adjusted_prices(self) -> None:
        raw, split, price = self.factors()
        laid = Market(raw.timestamps, *[p * split for p in raw[1:5]], *[raw.volume])
        rows = surroundings.actions(raw.close, split, np.ones_like(price), first=0)
        booked, adjusted = self.held(raw, rows), self.held(laid)
        assert booked.curve.equity == pytest.approx(adjusted.curve.equity, rel=1e-12)

    def test_booked_dividends_stay_cash_and_adjusted_ones_are_reinvested(self) -> None:
        raw, split, price = self.factors()
        rows = surroundings.actions(raw.close, split, price, first=0)
        booked = self.held(raw, rows)
        total = Market(raw.timestamps, *[p * split * price for p in raw[1:5]], *[raw.volume])
        adjusted = self.held(total).curve.equity
        shares = 100_000 / raw.open[1, 0] / split[1, 0]  # after both splits
        paid = np.zeros(len(raw.close))
        for row in rows[rows["kind"] == DIVIDEND]:
            paid[row["bar"] :] += shares * row["value"]
        assert booked.curve.cash[2:] == pytest.approx(paid[2:], abs=1e-6)
        by_hand = shares * (raw.close * split)[:, 0] + paid
        assert booked.curve.equity[1:] == pytest.approx(by_hand[1:], rel=1e-12)
        first = int(rows["bar"][2])
        assert booked.curve.equity[1:first] == pytest.approx(adjusted[1:first], rel=1e-9)
        more = adjusted[-1] / raw.close[-1, 0] / shares  # total: each dividend bought shares
        assert more == pytest.approx(price[-1, 0] / price[1, 0], rel=1e-9)


@pytest.fixture(scope="module")
def listed(workshop: Workshop) -> None:
    """Two symbols with 60 days; AAA splits 2:1 after 2001-01-20 and BBB ends ten days early."""
    found = walks(["AAA.TEST", "BBB.TEST"], bars=60)
    put(workshop, TABLE, found.slice(0, 110))
    run_id = new_id(START)
    facts = pa.table(
        {
            "vt_symbol": ["AAA.TEST", "AAA.TEST"],
            "date": pa.array([dt.date(2001, 1, 20), dt.date(2050, 12, 31)], pa.date32()),
            "price_factor": [1.0, 1.0],
            "split_factor": [0.5, 1.0],
            "known_at": pa.array([START] * 2, pa.timestamp("us", tz="UTC")),
            "source": ["test"] * 2,
            "run_id": [run_id] * 2,
        }
    )
    append_arrow(
        "silver",
        "alphaswarm_silver_actions.adjustments",
        facts,
        key=f"{run_id}:adjustments",
        run_id=run_id,
        spec_sha256=SPEC_SHA,
        log=workshop.log,
        lake=workshop.lake,
    )


@pytest.mark.usefixtures("listed")
class TestWindow:
    def spec(self, **execution: object) -> BacktestSpec:
        data = {"table": TABLE, "start": "2001-01-10", "end": "2001-03-01", "adjust": "none"}
        return BacktestSpec.model_validate(
            {
                "name": "actions",
                "universe": {"symbols": ["AAA.TEST", "BBB.TEST"]},
                "data": data,
                "strategy": {"name": "equal_weight"},
                "execution": execution,
            }
        )

    def test_raw_prices_bring_their_actions(self, workshop: Workshop) -> None:
        wanted = self.spec()
        window = bars.window(
            workshop.lake, wanted, snapshot_ids=bars.checked_pins(workshop.lake, wanted)
        )
        assert window.conditions is not None
        rows = window.conditions.actions
        assert rows.dtype == np.dtype((np.record, ACTION))
        days = [instant(int(window.market.timestamps[bar]))[:10] for bar in rows["bar"]]
        assert list(zip(days, rows["symbol"].tolist(), rows["kind"].tolist(), strict=True)) == [
            ("2001-01-21", 0, SPLIT),
            ("2001-02-20", 1, DELISTING),
        ]
        assert window.delisted == ("BBB.TEST",)
        assert window.unadjusted == ("BBB.TEST",)

    def test_a_square_root_model_reads_the_days_before_the_start(self, workshop: Workshop) -> None:
        wanted = self.spec(slippage={"model": "square_root", "window": 5})
        window = bars.window(workshop.lake, wanted, snapshot_ids=bars.pins(workshop.lake, wanted))
        assert window.conditions is not None
        assert not np.isnan(window.conditions.impact[:, window.first]).any()

    def test_a_half_spread_without_quotes_is_refused_by_its_path(self, workshop: Workshop) -> None:
        with pytest.raises(UnknownNameError) as refused:
            bars.checked_pins(workshop.lake, self.spec(slippage={"model": "half_spread"}))
        error = refused.value.facts["errors"][0]
        assert (error["path"], error["value"]) == ("execution.slippage.model", "half_spread")
        assert "bps" in error["nearest"]

    def test_quotes_beside_the_bars_make_the_spread(self, workshop: Workshop) -> None:
        table = "alphaswarm_silver_quoted.bars_1d"
        found = walks(["AAA.TEST", "BBB.TEST"], bars=40)
        put(workshop, table, found)
        only = pa.concat_tables([found.slice(0, 40), found.slice(79)])  # BBB: its last bar alone
        columns = {name: only[name] for name in ("vt_symbol", "timestamp", "currency")}
        for side, factor in (("bid", 0.999), ("ask", 1.001)):
            for part in ("open", "high", "low", "close"):
                columns[f"{side}_{part}"] = pc.multiply(only["close"], factor)
            columns[f"{side}_size"] = only["volume"]
        put(workshop, table.replace("bars", "quotes"), pa.table(columns))
        body = self.spec(slippage={"model": "half_spread"}).body()
        body["data"] |= {"table": table, "end": "2001-02-01"}
        wanted = BacktestSpec.model_validate(body)
        pins = bars.checked_pins(workshop.lake, wanted)
        assert "alphaswarm_silver_quoted.quotes_1d" in pins
        window = bars.window(workshop.lake, wanted, snapshot_ids=pins)
        simulation = simulate(wanted, window, np.zeros(64, dtype=np.int64))
        simulation.advance()
        result = simulation.result()
        paid = dict(zip(result.fills["vt_symbol"], result.fills["price"], strict=True))
        at = window.first + 1
        opens = window.market.open[at]
        assert paid["AAA.TEST"] == pytest.approx(opens[0] * 1.001)
        assert paid["BBB.TEST"] == pytest.approx(opens[1])
        assert window.unquoted == ("BBB.TEST",)
