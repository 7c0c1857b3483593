"""From many payloads to silver: parts, conflicts, facts, currencies, zones, quotes, lineage."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from lakehouse import bronze, catalog, identity, query, silver, staging, universe
from lakehouse.errors import SchemaMismatchError
from lakehouse.source import open_source
from tests.kit.lake import BARS, NOW, Depot
from tests.lakehouse.test_ingest import HEADER, LATER, REJECTS, Desk, DyingAt
from topology.errors import BadInputError, FaultError, UnknownNameError
from topology.ids import new_id

QUOTES = "alphaswarm_silver_market.quotes_1m"
MAP = "alphaswarm_silver_market.symbol_map"
UNIVERSES = "alphaswarm_silver_market.universes"
ADJUSTMENTS = "alphaswarm_silver_market.adjustments"
PAYLOADS = "alphaswarm_silver_market.payloads"
YEAR = (dt.date(2024, 1, 1), dt.date(2024, 12, 31))
NEXT = LATER + dt.timedelta(days=1)


@pytest.fixture
def desk(depot: Depot, tmp_path: Path) -> Desk:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    return Desk(depot, inbox)


def days(symbol: str, first: int, last: int, close: float = 10.0, more: str = "") -> str:
    """Return lines of one bar a day in January 2024."""
    price = f"{close},{close},{close},{close},100{more}"
    return "".join(f"{symbol},2024-01-{day:02},{price}\n" for day in range(first, last + 1))


def put(desk: Desk, **files: str) -> None:
    (desk.inbox / "eod").mkdir(exist_ok=True)
    for name, text in files.items():
        (desk.inbox / "eod" / f"{name}.csv").write_text(text)


def folder(desk: Desk, **named: Any) -> Any:
    return desk.ingest({"provider": "files", "path": "eod", "table": BARS}, **named)


def closes(desk: Desk, symbol: str = "A.NYSE", **named: Any) -> list[float]:
    found = query.bars(desk.depot.reader, [symbol], *YEAR, **named)
    values: list[float] = found.column("close").to_pylist()
    return values


def facts(desk: Desk, table: str, text: str, at: dt.datetime = NOW) -> Any:
    (desk.inbox / "facts.csv").write_text(text)
    return desk.ingest({"provider": "files", "path": "facts.csv", "table": table}, at=at)


class TestFolders:
    """Each file is a payload; what is known is not read again."""

    def test_only_new_and_changed_files_are_read(self, desk: Desk) -> None:
        put(desk, a=HEADER + days("A.NYSE", 1, 3), b=HEADER + days("B.NYSE", 1, 3))
        first = folder(desk)
        put(desk, b=HEADER + days("B.NYSE", 1, 4), c=HEADER + days("C.NYSE", 1, 3))
        again = folder(desk, at=LATER)
        assert (first.payloads, first.skipped, first.new) == (2, 0, 6)
        assert (again.payloads, again.skipped, again.new, again.known) == (3, 1, 4, 6)

    def test_the_first_file_is_the_bar_and_the_last_one_corrects_it(self, desk: Desk) -> None:
        for name, close in (("a", 1.0), ("b", 2.0), ("c", 3.0)):
            put(desk, **{name: HEADER + days("A.NYSE", 2, 2, close)})
        result = folder(desk)
        assert (result.new, result.revised, result.known) == (1, 1, 1)
        assert closes(desk, revisions="first") == [1.0]
        assert closes(desk, revisions="latest") == [3.0]

    def test_each_bar_names_its_own_file(self, desk: Desk) -> None:
        put(desk, a=HEADER + days("A.NYSE", 1, 1), b=HEADER + days("B.NYSE", 1, 1))
        folder(desk)
        rows = query.read(desk.depot.reader, BARS).to_pylist()
        assert [row["source"] for row in rows] == ["files:eod/a.csv", "files:eod/b.csv"]

    def test_what_was_taken_in_is_noted_with_its_snapshots(self, desk: Desk) -> None:
        put(desk, a=HEADER + days("A.NYSE", 1, 2) + "A,2024-01-05,1,1,1,1,1\n")
        folder(desk)
        (row,) = query.read(desk.depot.reader, PAYLOADS).to_pylist()
        assert (row["read"], row["rows"], row["rejected"]) == (3, 2, 1)
        assert row["reasons"] == '{"bad_symbol": 1}'
        silver = catalog.load(desk.depot.reader, BARS).current_snapshot()
        assert silver is not None
        assert silver.summary is not None
        said = silver.summary.additional_properties
        assert said["alphaswarm.bronze_table"] == row["bronze_table"]
        assert (
            said["alphaswarm.to_snapshot"]
            == row["to_snapshot"]
            == str(query.current_snapshot(desk.depot.reader, row["bronze_table"]))
        )


class TestParts:
    """A large payload comes in parts; whatever dies, the next attempt goes on."""

    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(silver, "PART", 7)
        monkeypatch.setattr(bronze, "MOST_ROWS", 10)
        monkeypatch.setattr(staging, "BATCH", 5)

    def test_doubles_in_different_parts_are_still_doubles(self, desk: Desk) -> None:
        text = HEADER + days("A.NYSE", 1, 28) + days("B.NYSE", 1, 28) + days("A.NYSE", 3, 5, 9.0)
        desk.spill.mkdir()
        result = desk.csv(text)
        assert list(desk.spill.iterdir()) == []
        assert (result.new, result.revised, result.reasons) == (56, 0, {"duplicate_key": 3})
        details = [r["detail"] for r in query.read(desk.depot.reader, REJECTS).to_pylist()]
        assert [detail.rpartition(" ")[2] for detail in details] == ["3", "4", "5"]

    @pytest.mark.parametrize("call", [1, 7])
    def test_a_second_attempt_ends_what_the_first_began(self, desk: Desk, call: int) -> None:
        text = HEADER + days("A.NYSE", 1, 20) + days("B.NYSE", 1, 20) + "x,y\n"
        run_id = new_id(NOW)
        with pytest.raises(FaultError, match="died"):
            desk.csv(text, run_id=run_id, log=DyingAt(desk.depot.log, call))
        result = desk.csv(text, run_id=run_id)
        assert (result.new, result.rejected) == (40, 1)
        for table in (BARS, result.tables[0].table):
            assert open_source(desk.depot.reader, table).rows().num_rows == 40

    def test_another_run_completes_what_a_failed_one_left_in_bronze(self, desk: Desk) -> None:
        text = HEADER + days("A.NYSE", 1, 25)
        with pytest.raises(FaultError, match="died"):
            desk.csv(text, log=DyingAt(desk.depot.log, 2))
        result = desk.csv(text, at=LATER)
        bronze = query.read(desk.depot.reader, result.tables[0].table)
        assert sorted(bronze.column("_row").to_pylist()) == list(range(1, 26))
        assert result.new == 25

    def test_one_key_over_and_over_stays_one_bar(self, desk: Desk) -> None:
        result = desk.csv(HEADER + days("A.NYSE", 2, 2) * 40)
        assert (result.new, result.rejected, result.revised) == (1, 39, 0)


class TestCurrencies:
    """Prices in two currencies are never one series."""

    HEAD = HEADER.replace("volume", "volume,currency")

    def test_a_symbol_keeps_its_currency(self, desk: Desk) -> None:
        desk.csv(self.HEAD + days("A.NYSE", 1, 3, more=",USD"))
        result = desk.csv(
            self.HEAD + days("A.NYSE", 4, 6, more=",EUR") + days("B.NYSE", 1, 1, more=",EUR"),
            at=LATER,
        )
        assert (result.new, result.reasons) == (1, {"other_currency": 3})

    def test_within_a_file_the_earliest_bar_says_which(self, desk: Desk) -> None:
        result = desk.csv(
            self.HEAD + days("A.NYSE", 3, 4, more=",USD") + days("A.NYSE", 1, 2, more=",EUR")
        )
        assert (result.new, result.reasons) == (2, {"other_currency": 2})

    def test_a_redenomination_is_declared_with_its_day(self, desk: Desk) -> None:
        desk.csv(self.HEAD + days("A.NYSE", 1, 3, more=",USD"))
        result = desk.csv(
            self.HEAD + days("A.NYSE", 4, 6, more=",EUR"),
            reading={"redenominated": {"A.NYSE": "2024-01-04"}},
            at=LATER,
        )
        assert (result.new, result.rejected) == (3, 0)


class TestFacts:
    """Splits, tickers and universes come from files, too."""

    def test_adjustments_from_a_file(self, desk: Desk) -> None:
        facts(
            desk, ADJUSTMENTS, "vt_symbol,date,price_factor,split_factor\nA.NYSE,2024-01-02,1,0.5\n"
        )
        desk.csv(HEADER + days("A.NYSE", 2, 3), at=LATER)
        assert closes(desk, adjust="split") == [5.0, 10.0]

    def test_a_former_ticker_finds_the_symbol_under_the_name_that_it_keeps(
        self, desk: Desk
    ) -> None:
        facts(
            desk,
            MAP,
            "vt_symbol,ticker,exchange,valid_from,valid_to\n"
            "META.NASDAQ,FB,NASDAQ,2012-05-18,2024-01-10\nMETA.NASDAQ,META,NASDAQ,2024-01-11,\n",
        )
        result = desk.csv(HEADER + days("FB.NASDAQ", 9, 10) + days("META.NASDAQ", 11, 12), at=LATER)
        assert (result.new, result.rejected) == (4, 0)
        assert [c.vt_symbol for c in query.coverage(desk.depot.reader, BARS)] == ["META.NASDAQ"]
        found = query.bars(desk.depot.reader, ["FB.NASDAQ"], *YEAR)
        assert found.column("vt_symbol").to_pylist() == ["META.NASDAQ"] * 4
        names = [ticker.name for ticker in identity.tickers(desk.depot.reader, BARS)]
        assert names == ["FB.NASDAQ", "META.NASDAQ"]

    def test_a_ticker_that_two_symbols_bore_is_not_guessed(self, desk: Desk) -> None:
        facts(
            desk,
            MAP,
            "vt_symbol,ticker,exchange,valid_from,valid_to\n"
            "A.NYSE,X,NYSE,2000-01-01,2024-01-10\nB.NYSE,X,NYSE,2024-01-11,2024-02-01\n",
        )
        desk.csv(HEADER + days("A.NYSE", 2, 3) + days("B.NYSE", 12, 13), at=LATER)
        with pytest.raises(BadInputError, match="was the ticker of 2 symbols"):
            query.bars(desk.depot.reader, ["X.NYSE"], *YEAR)
        january = (dt.date(2024, 1, 1), dt.date(2024, 1, 5))
        found = query.bars(desk.depot.reader, ["X.NYSE"], *january)
        assert set(found.column("vt_symbol").to_pylist()) == {"A.NYSE"}

    def test_a_universe_knows_its_dead(self, desk: Desk) -> None:
        text = "universe,vt_symbol,date_from,date_to\n"
        facts(desk, UNIVERSES, text + "top,A.NYSE,2000-01-01,2010-01-01\ntop,B.NYSE,2005-01-01,\n")
        lake = desk.depot.reader
        found = universe.members(lake, "top", dt.date(2009, 1, 1), dt.date(2020, 1, 1))
        assert (found.symbols(), found.survivorship) == (["A.NYSE", "B.NYSE"], False)
        assert found.on(dt.date(2010, 1, 1)) == ["A.NYSE", "B.NYSE"]
        assert found.on(dt.date(2010, 1, 2)) == ["B.NYSE"]
        assert universe.plain(["B.NYSE"], dt.date(2009, 1, 1)).survivorship

    def test_the_latest_set_counts_and_a_known_file_writes_nothing(self, desk: Desk) -> None:
        text = "universe,vt_symbol,date_from,date_to\ntop,A.NYSE,2000-01-01,\n"
        facts(desk, UNIVERSES, text)
        before = desk.snapshots()
        assert facts(desk, UNIVERSES, text, LATER).new == 0
        assert desk.snapshots() == before
        facts(desk, UNIVERSES, text.replace("A.NYSE", "B.NYSE"), NEXT)
        found = universe.members(desk.depot.reader, "top", *YEAR)
        assert found.symbols() == ["B.NYSE"]

    def test_bad_facts_are_rejected_with_their_reason(self, desk: Desk) -> None:
        text = (
            "universe,vt_symbol,date_from,date_to\n"
            "top,A.NYSE,2000-01-01,\n"
            "top,a,2000-01-01,\n"
            "top,B.NYSE,2000-13-01,\n"
            "top,C.NYSE,2001-01-01,2000-01-01\n"
            "top,D.NYSE,2001-01-01,soon\n"
            "top,A.NYSE,2000-01-01,2001-01-01\n"
        )
        result = facts(desk, UNIVERSES, text)
        assert result.new == 1
        assert result.reasons == {
            "bad_symbol": 1,
            "bad_time": 2,
            "duplicate_key": 1,
            "reversed_period": 1,
        }

    def test_a_file_more_in_a_folder_forgets_no_member_of_the_others(self, desk: Desk) -> None:
        """The files of an ingest tell an owner's set together, also those that were known."""
        head = "universe,vt_symbol,date_from,date_to\n"
        spec = {"provider": "files", "path": "eod", "table": UNIVERSES}
        put(desk, a=f"{head}top,A.NYSE,2000-01-01,\n", b=f"{head}top,B.NYSE,2000-01-01,\n")
        desk.ingest(spec)
        put(desk, c=f"{head}top,C.NYSE,2000-01-01,\n")
        result = desk.ingest(spec, at=LATER)
        again = desk.ingest(spec, at=NEXT)
        found = universe.members(desk.depot.reader, "top", *YEAR)
        assert found.symbols() == ["A.NYSE", "B.NYSE", "C.NYSE"]
        assert (result.skipped, again.skipped, again.new) == (0, 3, 0)

    def test_a_ticker_map_that_comes_after_the_bars_joins_a_history(self, desk: Desk) -> None:
        """Ingested again, the same file gives the symbol the days of its former ticker."""
        put(desk, a=HEADER + days("FB.NASDAQ", 1, 10) + days("META.NASDAQ", 11, 20))
        folder(desk)
        head = "vt_symbol,ticker,exchange,valid_from,valid_to\n"
        facts(desk, MAP, f"{head}META.NASDAQ,FB,NASDAQ,2012-05-18,2024-01-10\n", at=LATER)
        result = folder(desk, at=NEXT)
        again = folder(desk, at=NEXT + dt.timedelta(days=1))
        assert (result.skipped, result.new, again.skipped, again.new) == (0, 10, 1, 0)
        assert len(closes(desk, "META.NASDAQ")) == 20

    def test_a_former_ticker_means_what_the_pinned_map_says(self, desk: Desk) -> None:
        put(desk, a=HEADER + days("A.NYSE", 1, 10) + days("B.NYSE", 1, 20))
        folder(desk)
        head = "vt_symbol,ticker,exchange,valid_from,valid_to\n"
        facts(desk, MAP, f"{head}A.NYSE,OLD,NYSE,2000-01-01,\n")
        pins = query.resolve(desk.depot.reader, [BARS, MAP])
        text = f"{head}A.NYSE,A,NYSE,2000-01-01,\nB.NYSE,OLD,NYSE,2000-01-01,\n"
        facts(desk, MAP, text, at=LATER)
        assert len(closes(desk, "OLD.NYSE")) == 20
        assert len(closes(desk, "OLD.NYSE", snapshot_ids=pins)) == 10

    def test_a_set_that_is_yet_to_begin_replaces_the_one_before(self, desk: Desk) -> None:
        """As of a time before its first day the corrected universe is empty, not the old one."""
        head = "universe,vt_symbol,date_from,date_to\n"
        facts(desk, UNIVERSES, f"{head}top,A.NYSE,2000-01-01,\nlow,B.NYSE,2000-01-01,\n")
        facts(desk, UNIVERSES, f"{head}top,A.NYSE,2100-01-01,\n", at=LATER)
        now = dt.datetime.now(dt.UTC)  # noqa: TID251  snapshots know no other
        with pytest.raises(UnknownNameError):
            universe.members(desk.depot.reader, "top", *YEAR, as_of=now)
        assert universe.members(desk.depot.reader, "low", *YEAR, as_of=now).symbols() == ["B.NYSE"]

    def test_a_file_without_one_good_fact_writes_nothing(self, desk: Desk) -> None:
        with pytest.raises(SchemaMismatchError):
            facts(desk, UNIVERSES, "universe,vt_symbol,date_from,date_to\ntop,a,b,c\n")
        assert query.tables(desk.depot.reader) == []


class TestQuotes:
    """Bid and ask are bars of their own; one side may be absent, but not in part."""

    HEAD = (
        "vt_symbol,timestamp,bid_open,bid_high,bid_low,bid_close,"
        "ask_open,ask_high,ask_low,ask_close\n"
    )

    def test_quotes_become_silver(self, desk: Desk) -> None:
        text = self.HEAD + (
            "EURUSD.OANDA,2024-01-02T10:00:00Z,1,1.2,0.9,1.1,1.1,1.3,1,1.2\n"
            "EURUSD.OANDA,2024-01-02T10:01:00Z,1,1.2,0.9,1.1,,,,\n"
            "EURUSD.OANDA,2024-01-02T10:02:00Z,1,1.2,,1.1,,,,\n"
            "EURUSD.OANDA,2024-01-02T10:03:00Z,1,0.8,0.9,1.1,1,1,1,1\n"
        )
        (desk.inbox / "q.csv").write_text(text)
        result = desk.ingest({"provider": "files", "path": "q.csv", "table": QUOTES})
        assert (result.new, result.reasons) == (2, {"inconsistent": 1, "missing_value": 1})
        found = query.bars(desk.depot.reader, ["EURUSD.OANDA"], *YEAR, table=QUOTES)
        assert found.column("ask_close").to_pylist() == [1.2, None]
