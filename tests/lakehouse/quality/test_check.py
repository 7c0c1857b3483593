"""After an ingest: only what was touched is looked at, each finding is kept once."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from itertools import count
from typing import Any

import pyarrow as pa
import pytest

from lakehouse import query
from lakehouse.quality import inspect
from lakehouse.quality.check import Checked, check
from lakehouse.quality.report import Report, report
from lakehouse.schemas import ADJUSTMENTS
from tests.kit.lake import SPEC, Depot, Silent
from tests.kit.quality import NOW, at, daily, wave
from topology.errors import BadInputError
from topology.ids import new_id

RUN, LATER = new_id(NOW), new_id(NOW)
EARLY, LATE = at("2000-01-01 00:00"), at("2030-01-01 00:00")


@dataclass(frozen=True)
class Shelf:
    """A namespace of its own in a lake that all tests of this file share."""

    depot: Depot
    domain: str

    @property
    def table(self) -> str:
        return f"alphaswarm_silver_{self.domain}.bars_1d"

    def append(self, data: pa.Table, name: str = "bars_1d") -> str:
        table = f"alphaswarm_silver_{self.domain}.{name}"
        return self.depot.append(table, data, key=new_id(NOW)).snapshot_id

    def check(self, run_id: str = RUN, **named: Any) -> Checked:
        asked: dict[str, Any] = {
            "symbols": ["AAA.NYSE", "BBB.NYSE"],
            "start": EARLY,
            "end": LATE,
            "spec_sha256": SPEC,
            "created_at": NOW,
            "progress": Silent(),
        }
        log = self.depot.log
        return check(self.depot.writer, log, self.table, run_id=run_id, **(asked | named))

    def report(self) -> Report:
        return report(self.depot.reader, self.table, now=NOW)

    def kept(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = query.read(
            self.depot.reader, f"alphaswarm_silver_{self.domain}.quality"
        ).to_pylist()
        return found


@pytest.fixture
def shelf(market: Depot) -> Shelf:
    return Shelf(market, f"s{next(_numbers)}")


_numbers = count()


def dirty(symbol: str = "AAA.NYSE") -> pa.Table:
    """Return 80 bars of which one is a bad print and ten in a row are missing."""
    prices = wave(80)
    prices[70] = 150.0
    bars = daily(prices, vt_symbol=symbol)
    return pa.concat_tables([bars.slice(0, 20), bars.slice(30)])


def test_findings_are_kept_with_their_run_and_the_snapshot_they_were_found_in(shelf: Shelf) -> None:
    snapshot_id = shelf.append(dirty())
    done = shelf.check()
    assert done.by_rule == {"missing_sessions": 1, "spike": 1}
    assert done.by_severity == {"error": 0, "warning": 2, "info": 0}
    rows = shelf.kept()
    assert {row["rule"] for row in rows} == {"missing_sessions", "spike"}
    assert {(row["run_id"], row["snapshot_id"]) for row in rows} == {(RUN, snapshot_id)}
    assert {row["table_name"] for row in rows} == {shelf.table}
    assert rows[0]["detail"] == "10 sessions from 2024-01-31 to 2024-02-13"


def test_a_second_attempt_keeps_nothing_twice(shelf: Shelf) -> None:
    shelf.append(dirty())
    first = shelf.check()
    assert shelf.check() == first
    shelf.append(dirty("BBB.NYSE"))  # between a death and the next attempt
    again = shelf.check()
    assert again.found == 4
    assert len(shelf.kept()) == 4


def test_clean_bars_leave_no_table(shelf: Shelf) -> None:
    shelf.append(daily(wave(40)))
    done = shelf.check()
    assert (done.found, done.quality, done.snapshot_id) == (0, None, None)
    assert f"alphaswarm_silver_{shelf.domain}.quality" not in query.tables(shelf.depot.reader)


def test_only_the_symbols_and_days_that_were_touched_are_looked_at(shelf: Shelf) -> None:
    shelf.append(pa.concat_tables([dirty(), dirty("BBB.NYSE")]))
    assert shelf.check(symbols=["BBB.NYSE"]).found == 2
    assert shelf.check(LATER, start=at("2024-03-01 00:00")).by_rule == {"spike": 2}
    assert shelf.check(LATER, end=at("2024-01-10 00:00")).found == 0


def test_bars_that_leave_a_gap_to_those_already_there_are_found(shelf: Shelf) -> None:
    """Years of bars lie before: the window is judged with its neighbours, near or far."""
    bars = daily(wave(300))
    shelf.append(bars.slice(0, 10))
    shelf.append(bars.slice(280))
    first = bars.column("timestamp")[280].as_py()
    assert shelf.check(start=first).by_rule == {"missing_sessions": 1}
    shelf.append(bars.slice(10, 265))
    [row] = shelf.report().examples
    assert row.detail == "5 sessions from 2025-02-06 to 2025-02-12"


def test_splits_are_judged_against_the_factors_that_are_known(shelf: Shelf) -> None:
    shelf.append(daily([*wave(10), *wave(10, 50.0)]))
    before = shelf.check()
    assert before.by_rule == {"split_jump": 1}
    assert before.not_checked == ("No splits or dividends are known of AAA.NYSE.",)
    day = dt.date(2024, 1, 16)
    factor = {"vt_symbol": "AAA.NYSE", "date": day, "price_factor": 1.0, "split_factor": 0.5}
    rows = [factor | {"known_at": NOW, "source": "test", "run_id": RUN}]
    factors = pa.Table.from_pylist(rows, schema=ADJUSTMENTS.columns)
    shelf.append(factors, "adjustments")
    after = shelf.check(LATER)
    assert (after.found, after.not_checked) == (0, ())


def test_what_could_not_be_judged_is_told(shelf: Shelf) -> None:
    shelf.append(daily(wave(5), vt_symbol="AAA.NOWHERE"))
    [calendar, _] = shelf.check(symbols=["AAA.NOWHERE"]).not_checked
    assert calendar == (
        "NOWHERE has no calendar: gaps and sessions of AAA.NOWHERE were not checked."
    )


def test_small_pieces_find_what_one_large_one_does(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.append(pa.concat_tables([dirty(), dirty("BBB.NYSE")]))
    whole = shelf.report()
    monkeypatch.setattr(inspect, "SLICE_ROWS", 30)
    monkeypatch.setitem(inspect.BEFORE, "1d", dt.timedelta(days=100))
    assert shelf.report() == whole


def test_the_findings_of_a_hopeless_feed_are_counted_but_not_all_kept(shelf: Shelf) -> None:
    shelf.append(daily([{"volume": 0.0, "close": 100.0 + n} for n in range(200)]))
    done = shelf.check()
    assert done.by_rule == {"zero_volume": 200}
    assert len(shelf.kept()) == 20


def test_a_table_that_holds_no_bars_is_refused(shelf: Shelf) -> None:
    with pytest.raises(BadInputError, match="not a table of bars"):
        report(shelf.depot.reader, "alphaswarm_silver_market.adjustments", now=NOW)
