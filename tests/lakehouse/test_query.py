"""Reading: what is there, at which snapshot, adjusted or not."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pyarrow as pa
import pytest

from lakehouse import about, catalog, query, scan
from lakehouse.errors import SnapshotExpiredError, TableNotFoundError
from lakehouse.scan import Where
from tests.kit.lake import BARS, DAY, FILLS, NOW, Depot, bars, fills
from topology.errors import BadInputError, UnknownNameError

REVISIONS = f"{BARS}_revisions"
ADJUSTMENTS = "alphaswarm_silver_market.adjustments"
APPLE, MICROSOFT = "AAPL.NASDAQ", "MSFT.NASDAQ"
FIRST, LAST = dt.date(2024, 1, 1), dt.date(2024, 12, 31)
LATER = NOW + dt.timedelta(days=1)


def closes(table: pa.Table) -> list[float]:
    values: list[float] = table.column("close").to_pylist()
    return values


class TestRead:
    """Any table, filtered by what its columns mean."""

    @pytest.mark.parametrize(
        ("where", "expected"),
        [
            pytest.param(Where(), [10.0, 11.0, 12.0, 20.0, 21.0], id="all, in key order"),
            pytest.param(Where(symbols=[MICROSOFT]), [20.0, 21.0], id="one symbol"),
            pytest.param(Where(symbols=[]), [], id="no symbol"),
            pytest.param(Where(symbols=["X'; DROP TABLE y; --"]), [], id="not a symbol"),
            pytest.param(Where(start=DAY + dt.timedelta(days=1)), [11.0, 12.0, 21.0], id="from"),
            pytest.param(Where(end=DAY + dt.timedelta(days=1)), [10.0, 20.0], id="to before"),
            pytest.param(
                Where(start=DAY.astimezone(dt.timezone(dt.timedelta(hours=-5))), end=DAY),
                [],
                id="an empty period, in another zone",
            ),
        ],
    )
    def test_rows_pass_the_filter(self, depot: Depot, where: Where, expected: list[float]) -> None:
        both = [bars(APPLE), bars(MICROSOFT, [20.0, 21.0])]
        depot.append(BARS, pa.concat_tables(both))
        assert closes(query.read(depot.reader, BARS, where=where)) == expected

    def test_a_run_is_found_among_many(self, depot: Depot) -> None:
        for run in ("a", "b", "c"):
            depot.append(FILLS, fills(run, 2), key=run)
        got = query.read(depot.reader, FILLS, where=Where(run_id="b"), columns=["run_id"])
        assert got.to_pydict() == {"run_id": ["b", "b"]}

    def test_limit_and_columns(self, depot: Depot) -> None:
        depot.append(BARS, bars())
        got = query.read(depot.reader, BARS, columns=["close", "vt_symbol"], limit=2)
        assert got.to_pydict() == {"close": [10.0, 11.0], "vt_symbol": [APPLE] * 2}

    def test_types_come_back_as_they_went_in(self, depot: Depot) -> None:
        depot.append(BARS, bars())
        got = query.read(depot.reader, BARS)
        assert got.schema.field("timestamp").type == pa.timestamp("us", tz="UTC")
        assert got.schema.field("vt_symbol").type == pa.string()
        assert got.select(bars().schema.names).to_pylist() == bars().to_pylist()

    def test_the_hosts_zone_changes_nothing(
        self, depot: Depot, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TZ", "America/New_York")
        time.tzset()
        try:
            depot.append(BARS, bars(start=dt.datetime(2024, 1, 2, tzinfo=dt.UTC)))
            got = scan.select(
                'SELECT "timestamp"::DATE AS day FROM held ORDER BY 1',
                {"held": scan.plan(catalog.load(depot.reader, BARS))},
            )
        finally:
            monkeypatch.undo()
            time.tzset()
        assert got.column("day").to_pylist()[0] == dt.date(2024, 1, 2)

    def test_columns_with_odd_names_are_read(self, depot: Depot) -> None:
        names = ["Adj Close", "1st", 'quote"', "Größe", "select"]
        rows = pa.table({name: ["x"] for name in names})
        rows = rows.append_column("_ingested_at", pa.array([NOW], pa.timestamp("us", tz="UTC")))
        for name in ("_source", "_payload_sha256", "_run_id"):
            rows = rows.append_column(name, pa.array(["y"]))
        depot.append("alphaswarm_bronze_files.odd", rows)
        got = query.read(depot.reader, "alphaswarm_bronze_files.odd")
        assert got.select(names).to_pylist() == [dict.fromkeys(names, "x")]

    def test_an_unknown_column_gets_the_nearest_one(self, depot: Depot) -> None:
        depot.append(BARS, bars())
        with pytest.raises(UnknownNameError) as caught:
            query.read(depot.reader, BARS, columns=["clsoe"])
        assert caught.value.facts["nearest"][0] == "close"

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            pytest.param("alphaswarm_silver_market.bars_1h", BARS, id="near"),
            pytest.param("bars_1d", BARS, id="without its namespace"),
            pytest.param("'; DROP TABLE x", BARS, id="not a name at all"),
        ],
    )
    def test_an_unknown_table_gets_the_nearest_one(
        self, depot: Depot, name: str, hint: str
    ) -> None:
        depot.append(BARS, bars())
        with pytest.raises(TableNotFoundError) as caught:
            query.read(depot.reader, name)
        assert hint in caught.value.hint

    def test_an_empty_lake_has_no_tables(self, depot: Depot) -> None:
        assert query.tables(depot.reader) == []
        with pytest.raises(TableNotFoundError, match="There is no table"):
            about.describe(depot.reader, BARS)

    def test_rows_deleted_by_another_tool_stay_deleted(self, depot: Depot) -> None:
        """Files alone do not say it all then: pyiceberg reads such a table."""
        depot.append(BARS, bars())
        catalog.load(depot.writer, BARS).delete("close == 11.0")
        assert closes(query.read(depot.reader, BARS)) == [10.0, 12.0]

    def test_a_column_added_by_another_tool_is_read_as_null(self, depot: Depot) -> None:
        from pyiceberg.types import StringType

        depot.append(BARS, bars())
        with catalog.load(depot.writer, BARS).update_schema() as change:
            change.add_column("note", StringType())
        assert query.read(depot.reader, BARS).column("note").to_pylist() == [None] * 3


class TestTime:
    """A table at a snapshot, or as of a time."""

    def test_a_pinned_snapshot_does_not_move(self, depot: Depot) -> None:
        first = depot.append(BARS, bars(), key="1").snapshot_id
        depot.append(BARS, bars(MICROSOFT), key="2")
        assert query.read(depot.reader, BARS).num_rows == 6
        assert query.read(depot.reader, BARS, as_of=first).num_rows == 3
        assert query.resolve(depot.reader, [BARS], as_of=first) == {BARS: first}
        assert [row.vt_symbol for row in query.coverage(depot.reader, BARS, as_of=first)] == [APPLE]

    def test_as_of_takes_a_time_as_text_or_object(self, depot: Depot) -> None:
        first = depot.append(BARS, bars(), key="1").snapshot_id
        between = about.snapshots(depot.reader, BARS)[0].at
        time.sleep(0.01)
        depot.append(BARS, bars(MICROSOFT), key="2")
        assert query.resolve(depot.reader, [BARS], as_of=between) == {BARS: first}
        assert query.resolve(depot.reader, [BARS], as_of=between.isoformat()) == {BARS: first}

    def test_a_snapshot_of_one_table_is_a_time_for_the_others(self, depot: Depot) -> None:
        depot.append(FILLS, fills("a"), key="1")
        bars_at = depot.append(BARS, bars(), key="1").snapshot_id
        time.sleep(0.01)
        depot.append(FILLS, fills("b"), key="2")
        pinned = query.resolve(depot.reader, [BARS, FILLS], as_of=bars_at)
        assert query.read(depot.reader, FILLS, as_of=pinned[FILLS]).num_rows == 100

    @pytest.mark.parametrize(
        "as_of",
        [
            pytest.param("123456789", id="no such snapshot"),
            pytest.param("2001-01-01T00:00:00Z", id="before the first"),
        ],
    )
    def test_what_is_not_kept_names_the_oldest_that_is(self, depot: Depot, as_of: str) -> None:
        oldest = depot.append(BARS, bars()).snapshot_id
        with pytest.raises(SnapshotExpiredError) as caught:
            query.resolve(depot.reader, [BARS], as_of=as_of)
        assert caught.value.facts["oldest"] == oldest

    def test_a_pinned_snapshot_that_is_gone_says_so(self, depot: Depot) -> None:
        depot.append(BARS, bars())
        with pytest.raises(SnapshotExpiredError):
            query.bars(depot.reader, [APPLE], FIRST, LAST, snapshot_ids={BARS: "123456789"})

    @pytest.mark.parametrize("as_of", ["yesterday", "2024-01-01T00:00:00", "-1", "1.5", ""])
    def test_other_texts_are_no_times(self, depot: Depot, as_of: str) -> None:
        depot.append(BARS, bars())
        with pytest.raises(BadInputError, match="neither a snapshot id nor a time"):
            query.resolve(depot.reader, [BARS], as_of=as_of)

    def test_snapshots_are_listed_newest_first(self, depot: Depot) -> None:
        ids = [
            depot.append(BARS, bars(symbol), key=symbol).snapshot_id
            for symbol in (APPLE, MICROSOFT)
        ]
        listed = about.snapshots(depot.reader, BARS)
        assert [s.snapshot_id for s in listed] == ids[::-1]
        assert [(s.rows_added, s.rows_total) for s in listed] == [(3, 6), (3, 3)]
        assert listed[0].parent_id == ids[0]
        assert listed[1].parent_id is None


def factors(split: float, known_at: dt.datetime = NOW, symbol: str = APPLE) -> pa.Table:
    """Return a split by ``split`` after the first of the three days."""
    return pa.table(
        {
            "vt_symbol": [symbol] * 2,
            "date": pa.array([dt.date(2024, 1, 2), dt.date(2024, 1, 4)]),
            "price_factor": [1.0, 1.0],
            "split_factor": [split, 1.0],
            "known_at": pa.array([known_at] * 2, pa.timestamp("us", tz="UTC")),
            "source": ["test"] * 2,
            "run_id": ["r"] * 2,
        }
    )


class TestBars:
    """Bars as strategies see them."""

    def read(self, depot: Depot, *symbols: str, **named: Any) -> pa.Table:
        period = {"start": FIRST, "end": LAST, **named}
        return query.bars(depot.reader, list(symbols or [APPLE]), **period)

    def test_days_are_inclusive_days_in_utc(self, depot: Depot) -> None:
        depot.append(BARS, bars())
        first, last = dt.date(2024, 1, 2), dt.date(2024, 1, 3)
        assert closes(self.read(depot, start=first, end=last)) == [10.0, 11.0]
        assert closes(self.read(depot, start=last, end=last)) == [11.0]

    def test_symbols_come_sorted_whatever_the_order_asked(self, depot: Depot) -> None:
        depot.append(BARS, pa.concat_tables([bars(MICROSOFT, [20.0]), bars(APPLE, [10.0])]))
        assert closes(self.read(depot, MICROSOFT, APPLE)) == [10.0, 20.0]

    def test_an_unknown_symbol_gets_the_nearest_one(self, depot: Depot) -> None:
        depot.append(BARS, bars())
        with pytest.raises(UnknownNameError) as caught:
            self.read(depot, APPLE, "APPL.NASDAQ")
        assert caught.value.facts["nearest"] == [APPLE]

    def test_a_known_symbol_without_bars_in_the_period_has_no_rows(self, depot: Depot) -> None:
        depot.append(BARS, bars())
        period = {"start": dt.date(2020, 1, 1), "end": dt.date(2020, 12, 31)}
        assert self.read(depot, **period).num_rows == 0

    def test_a_period_that_ends_before_it_starts_is_refused(self, depot: Depot) -> None:
        depot.append(BARS, bars())
        with pytest.raises(BadInputError, match="starts on 2024-12-31 but ends on 2024-01-01"):
            self.read(depot, start=LAST, end=FIRST)

    def test_a_table_of_something_else_is_refused(self, depot: Depot) -> None:
        depot.append(ADJUSTMENTS, factors(0.5))
        with pytest.raises(BadInputError, match="not a table of bars"):
            self.read(depot, table=ADJUSTMENTS)

    def test_the_latest_correction_counts_and_only_from_its_snapshot_on(self, depot: Depot) -> None:
        raw = depot.append(BARS, bars()).snapshot_id
        pins = [{BARS: raw}]
        for known_at, close in ((NOW, 11.5), (LATER, 11.7)):
            corrected = bars(closes=[10.0, close, 12.0], known_at=known_at)
            revision = depot.append(REVISIONS, corrected, key=str(close)).snapshot_id
            pins.append({BARS: raw, REVISIONS: revision})
        assert closes(self.read(depot)) == [10.0, 11.7, 12.0]
        got = [closes(self.read(depot, snapshot_ids=pin))[1] for pin in pins]
        assert got == [11.0, 11.5, 11.7]

    def test_a_correction_may_take_a_value_away(self, depot: Depot) -> None:
        depot.append(BARS, bars(closes=[10.0]))
        gone = bars(closes=[10.0], known_at=NOW)
        place = gone.schema.get_field_index("volume")
        gone = gone.set_column(place, "volume", pa.array([None], pa.float64()))
        depot.append(REVISIONS, gone)
        assert self.read(depot).column("volume").to_pylist() == [None]

    def test_adjustments_known_at_the_snapshot_are_applied(self, depot: Depot) -> None:
        depot.append(BARS, bars(closes=[8.0, 8.0, 8.0]))
        assert closes(self.read(depot, adjust="split")) == [8.0, 8.0, 8.0]
        pin = {BARS: query.resolve(depot.reader, [BARS])[BARS]}
        for split, known_at in ((0.5, NOW), (0.25, LATER)):
            depot.append(ADJUSTMENTS, factors(split, known_at), key=str(split))
        assert closes(self.read(depot, adjust="split")) == [2.0, 8.0, 8.0]
        assert closes(self.read(depot, adjust="none")) == [8.0, 8.0, 8.0]
        assert closes(self.read(depot, adjust="split", snapshot_ids=pin)) == [8.0, 8.0, 8.0]

    def test_symbols_that_nobody_adjusts_are_named(self, depot: Depot) -> None:
        depot.append(BARS, pa.concat_tables([bars(APPLE), bars(MICROSOFT)]))
        depot.append(ADJUSTMENTS, factors(0.5))
        got = self.read(depot, APPLE, MICROSOFT, adjust="total")
        assert got.schema.metadata == {query.UNADJUSTED: MICROSOFT.encode()}

    def test_coverage_tells_first_last_and_count(self, depot: Depot) -> None:
        depot.append(BARS, pa.concat_tables([bars(APPLE), bars(MICROSOFT, [1.0])]))
        one, two = query.coverage(depot.reader, BARS)
        assert (one.vt_symbol, one.first, one.rows) == (APPLE, DAY, 3)
        assert one.last == DAY + dt.timedelta(days=2)
        assert (two.vt_symbol, two.first, two.last, two.rows) == (MICROSOFT, DAY, DAY, 1)


def test_only_the_files_of_the_asked_months_are_read(depot: Depot) -> None:
    depot.append(BARS, bars(closes=[1.0] * 366))
    loaded = catalog.load(depot.reader, BARS)
    assert len(scan.plan(loaded).files) == 13
    january = Where(end=dt.datetime(2024, 2, 1, tzinfo=dt.UTC))
    assert len(scan.plan(loaded, where=january).files) == 1
