"""What a table has of each symbol, against the exchange's calendar."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from lakehouse import calendars, coverage
from lakehouse.coverage import Filled
from lakehouse.schemas import TIME
from tests.kit.lake import Depot
from tests.kit.pictures import read
from tests.kit.quality import at, daily, quotes, trades, wave
from tools.apps.coverage import Grid, picture
from topology.errors import BadInputError

DAILY, MINUTES = "alphaswarm_silver_cover.bars_1d", "alphaswarm_silver_cover.bars_1m"
QUOTES = "alphaswarm_silver_cover.quotes_1h"


@pytest.fixture(scope="module")
def covered(market: Depot) -> Depot:
    """Return a lake with a whole symbol, one with a hole, one without a calendar, and minutes."""
    bars = daily(wave(60))
    hole = daily(wave(60), vt_symbol="BBB.NYSE")
    lost = daily(wave(10), vt_symbol="CCC.NOWHERE")
    market.append(DAILY, pa.concat_tables([bars, hole.slice(0, 10), hole.slice(20, 30), lost]))
    open_ = at("2024-01-02 14:30")
    minutes = [
        {"timestamp": open_ + dt.timedelta(days=day, minutes=n), "close": 100.0}
        for day, count in ((0, 390), (1, 195), (2, 390))
        for n in range(1, count + 1)
    ]
    late = {"timestamp": at("2024-01-02 22:00"), "close": 100.0}  # after hours: no more than whole
    market.append(MINUTES, trades([*minutes, late]))
    hours = [{"timestamp": at("2024-01-09 12:00"), "bid": 1.0, "ask": 1.1}]
    market.append(QUOTES, quotes(hours))
    return market


def test_days_of_a_short_history(covered: Depot) -> None:
    found = coverage.grid(covered.reader, DAILY)
    assert (found.unit, found.symbols) == ("day", ("AAA.NYSE", "BBB.NYSE", "CCC.NOWHERE"))
    assert found.starts[0] == dt.date(2024, 1, 2)
    assert (found.covered[0].sum(), found.expected[0].sum()) == (60, 60)
    assert (found.covered[1].sum(), found.expected[1].sum()) == (40, 50)
    assert np.isnan(found.expected[2]).all()
    assert found.covered[2].sum() == 10
    weekend = found.starts.index(dt.date(2024, 1, 6))
    assert (found.covered[0][weekend], found.expected[0][weekend]) == (0, 0)


def test_a_session_with_half_of_its_minutes_counts_a_half(covered: Depot) -> None:
    found = coverage.grid(covered.reader, MINUTES)
    assert found.covered.tolist() == [[1.0, 0.5, 1.0]]
    assert found.expected.tolist() == [[1.0, 1.0, 1.0]]


@pytest.mark.parametrize(
    ("symbol", "zone"), [("7203.JPX", "Asia/Tokyo"), ("BHP.ASX", "Australia/Sydney")]
)
def test_hours_before_midnight_in_greenwich_belong_to_their_session(
    market: Depot, symbol: str, zone: str
) -> None:
    """Tokyo opens at 09:00 (00:00 UTC), Sydney at 10:00 (23:00 UTC of the day before in summer)."""
    table = f"alphaswarm_silver_{zone.rpartition('/')[2].lower()}.bars_1m"
    found = calendars.of(symbol.rpartition(".")[2])
    wanted = found.sessions(dt.date(2024, 2, 5), dt.date(2024, 2, 7)).expected("1m")
    rows = [{"timestamp": end, "close": 100.0} for end in pa.array(wanted).cast(TIME).to_pylist()]
    market.append(table, trades(rows, vt_symbol=symbol))
    covered = coverage.grid(market.reader, table)
    assert covered.covered.tolist() == [[1.0, 1.0, 1.0]]
    assert covered.expected.tolist() == [[1.0, 1.0, 1.0]]
    assert covered.starts[0] == dt.date(2024, 2, 5)


def test_quotes_are_covered_too(covered: Depot) -> None:
    assert coverage.grid(covered.reader, QUOTES).symbols == ("EURUSD.OANDA",)


def test_symbols_can_be_chosen_and_are_capped(covered: Depot) -> None:
    assert coverage.grid(covered.reader, DAILY, symbols=["BBB.NYSE"]).symbols == ("BBB.NYSE",)
    capped = coverage.grid(covered.reader, DAILY, most_symbols=1)
    assert (capped.symbols, capped.left_out) == (("AAA.NYSE",), 2)
    assert "1 of 3 symbols" in drawn(capped)


def test_nothing_is_nothing(covered: Depot) -> None:
    assert "The table has no bars." in drawn(
        coverage.grid(covered.reader, DAILY, symbols=["Z.NYSE"])
    )


def test_years_are_shown_by_month(market: Depot) -> None:
    table = "alphaswarm_silver_long.bars_1d"
    market.append(table, daily(wave(600)))
    found = coverage.grid(market.reader, table)
    assert (found.unit, found.starts[1]) == ("month", dt.date(2024, 2, 1))
    assert found.covered.tolist() == found.expected.tolist()
    assert found.expected[0][:3].tolist() == [21.0, 20.0, 20.0]  # sessions in New York


def test_a_table_that_holds_no_bars_is_refused(market: Depot) -> None:
    with pytest.raises(BadInputError, match="not a table of bars"):
        coverage.grid(market.reader, "alphaswarm_silver_market.adjustments")


def test_the_picture_shows_the_hole(covered: Depot) -> None:
    text = drawn(coverage.grid(covered.reader, DAILY))
    assert "80.0%" in text
    assert "no calendar to compare with" in text


def drawn(found: Filled) -> str:
    arrays = found.covered.tolist(), found.expected.tolist()
    names = found.table, found.unit, found.starts, found.symbols
    return read(picture(Grid(*names, *arrays, found.left_out))).said
