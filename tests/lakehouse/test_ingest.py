"""The way of data into the lake: provider, bronze, silver; again; half; wrong."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lakehouse import about, lineage, query
from lakehouse.errors import EmptyAppendError, PathNotAllowedError, SchemaMismatchError
from lakehouse.ingest import ingest
from lakehouse.job import IngestResult, Run
from lakehouse.write import AppendLog
from ledger.appends import Appends
from tests.kit.faults import FaultyLog, failing
from tests.kit.lake import BARS, NOW, SPEC, Depot, Silent, fresh
from topology.errors import AlphaSwarmError, FaultError, HaltedError, UnknownNameError
from topology.home import Home
from topology.ids import new_id

SAMPLE = {"provider": "sample", "table": BARS}
REVISIONS = f"{BARS}_revisions"
REJECTS = "alphaswarm_silver_market.rejects"
HEADER = "vt_symbol,timestamp,open,high,low,close,volume\n"
GOOD = HEADER + (
    "AAPL.NASDAQ,2024-01-02,10,12,9,11,100\n"
    "AAPL.NASDAQ,2024-01-03,11,13,10,12,100\n"
    "MSFT.NASDAQ,2024-01-02,20,22,19,21,100\n"
)
LATER = NOW + dt.timedelta(days=1)
SAMPLE_RUN = new_id(NOW)


class Desk:
    """Ingests into a depot, from an inbox, one run after the other."""

    def __init__(self, depot: Depot, inbox: Path) -> None:
        self.depot = depot
        self.inbox = inbox
        self.spill = inbox.parent / "spill"
        self.progress = Silent()

    def ingest(
        self,
        spec: dict[str, Any],
        *,
        run_id: str | None = None,
        log: AppendLog | None = None,
        at: dt.datetime = NOW,
    ) -> IngestResult:
        run = Run(
            self.depot.writer,
            log or self.depot.log,
            run_id=run_id or new_id(at),
            spec_sha256=SPEC,
            created_at=at,
            progress=self.progress,
            spill=self.spill,
        )
        return ingest(run, spec, allowed=[self.inbox])

    def csv(self, text: str, *, name: str = "bars.csv", **named: Any) -> IngestResult:
        (self.inbox / name).write_text(text)
        reading = named.pop("reading", {})
        symbols = named.pop("symbols", None)
        spec = {"provider": "files", "path": name, "table": BARS, "reading": reading}
        return self.ingest({**spec, "symbols": symbols}, **named)

    def snapshots(self) -> dict[str, str]:
        return query.resolve(self.depot.reader, query.tables(self.depot.reader))

    def closes(self, symbol: str = "AAPL.NASDAQ") -> list[float]:
        table = query.bars(self.depot.reader, [symbol], dt.date(2024, 1, 1), dt.date(2024, 12, 31))
        values: list[float] = table.column("close").to_pylist()
        return values


@pytest.fixture
def desk(depot: Depot, tmp_path: Path) -> Desk:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    return Desk(depot, inbox)


@pytest.fixture(scope="module")
def sample(
    migrated: Home, dsn: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Desk, IngestResult]]:
    """Yield a lake with the sample, for tests that change nothing."""
    place = tmp_path_factory.mktemp("sample")
    for depot in fresh(dsn, place / "warehouse"):
        desk = Desk(depot, place / "inbox")
        yield desk, desk.ingest(SAMPLE, run_id=SAMPLE_RUN)


class TestTheSample:
    """The main job's data."""

    def test_it_becomes_bronze_bars_and_adjustments(
        self, sample: tuple[Desk, IngestResult]
    ) -> None:
        desk, result = sample
        assert (result.read, result.new, result.rejected, result.reasons) == (12_154, 12_154, 0, {})
        assert [(table.table, table.rows) for table in result.tables] == [
            ("alphaswarm_bronze_sample.stocks", 12_154),
            ("alphaswarm_silver_market.adjustments", 100),
            (BARS, 12_154),
        ]
        held = {c.vt_symbol: c.rows for c in query.coverage(desk.depot.reader, BARS)}
        assert held == {
            "AAPL.NASDAQ": 3_270,
            "FB.NASDAQ": 196,
            "GOOG.NASDAQ": 2_148,
            "IBM.NYSE": 3_270,
            "MSFT.NASDAQ": 3_270,
        }

    def test_frames_tell_each_layer(self, sample: tuple[Desk, IngestResult]) -> None:
        desk, _ = sample
        stages = [stage for stage, _ in desk.progress.frames]
        assert stages[: stages.index("layer.done")] == ["rows.processed"] * 2
        bronze, known = (frame for _, frame in desk.progress.frames[:2])
        assert (bronze["current"], bronze["total"]) == (12_154, None)  # how many, nobody knows yet
        assert (known["current"], known["total"]) == (12_154, 12_154)
        done = {f["table"]: f for stage, f in desk.progress.frames if stage == "layer.done"}
        assert (done[BARS]["rows"], done[BARS]["rejected"]) == (12_154, 0)
        assert done[BARS]["snapshot_id"] == desk.snapshots()[BARS]
        assert done["alphaswarm_silver_market.adjustments"]["rows"] == 100

    def test_the_result_is_json(self, sample: tuple[Desk, IngestResult]) -> None:
        assert json.loads(json.dumps(sample[1].body()))["tables"][2]["rows"] == 12_154

    def test_every_row_says_where_it_came_from(self, sample: tuple[Desk, IngestResult]) -> None:
        lake = sample[0].depot.reader
        bar = query.read(lake, BARS, limit=1).to_pylist()[0]
        assert (bar["source"], bar["run_id"], bar["ingested_at"]) == ("sample", SAMPLE_RUN, NOW)
        row = query.read(lake, "alphaswarm_bronze_sample.stocks", limit=1).to_pylist()[0]
        assert (row["_source"], row["_run_id"], row["_ingested_at"]) == ("sample", SAMPLE_RUN, NOW)

    def test_adjustments_are_there_as_of_the_bars_snapshot(
        self, sample: tuple[Desk, IngestResult]
    ) -> None:
        """They are written before the bars: who pins the bars finds them."""
        lake = sample[0].depot.reader
        pin = query.current_snapshot(lake, BARS)
        day = (dt.date(2005, 2, 25), dt.date(2005, 2, 25))
        bars = query.bars(lake, ["AAPL.NASDAQ"], *day, adjust="split", as_of=pin)
        raw = query.bars(lake, ["AAPL.NASDAQ"], *day)
        assert bars.column("close")[0].as_py() == raw.column("close")[0].as_py() / 2

    @pytest.mark.parametrize("name", ["bars_1d", "adjustments"])
    def test_what_came_from_bronze_says_so(
        self, sample: tuple[Desk, IngestResult], name: str
    ) -> None:
        table = f"alphaswarm_silver_market.{name}"
        edges = lineage.trace(sample[0].depot.reader, tables=[table]).edges
        assert [place.partition("@")[0] for place, _ in edges] == [
            "alphaswarm_bronze_sample.stocks"
        ]

    def test_again_changes_no_snapshot(self, sample: tuple[Desk, IngestResult]) -> None:
        desk, _ = sample
        before = desk.snapshots()
        again = desk.ingest(SAMPLE, at=LATER)
        assert (again.new, again.known, again.revised) == (0, 12_154, 0)
        assert desk.snapshots() == before
        assert {t.table: t.snapshot_id for t in again.tables}.items() <= before.items()
        assert (again.payloads, again.skipped) == (1, 1)

    def test_chosen_symbols_become_silver_and_bronze_keeps_all(self, desk: Desk) -> None:
        result = desk.ingest({**SAMPLE, "symbols": ["FB.NASDAQ"]})
        assert [t.rows for t in result.tables] == [12_154, 1, 196]
        more = desk.ingest({**SAMPLE, "symbols": ["FB.NASDAQ", "IBM.NYSE"]}, at=LATER)
        assert [t.rows for t in more.tables] == [0, 53, 3_270]

    def test_a_symbol_that_it_lacks_is_refused_before_anything_is_written(self, desk: Desk) -> None:
        with pytest.raises(UnknownNameError) as caught:
            desk.ingest({**SAMPLE, "symbols": ["GOOGL.NASDAQ"]})
        assert caught.value.facts["nearest"][0] == "GOOG.NASDAQ"
        assert query.tables(desk.depot.reader) == []


class TestFiles:
    """A user's own data."""

    def test_a_file_becomes_bars(self, desk: Desk) -> None:
        result = desk.csv(GOOD)
        assert (result.new, result.rejected, result.source) == (3, 0, "files:bars.csv")
        assert desk.closes() == [11.0, 12.0]

    def test_the_same_file_again_changes_nothing(self, desk: Desk) -> None:
        desk.csv(GOOD)
        before = desk.snapshots()
        assert desk.csv(GOOD, at=LATER).known == 3
        assert desk.snapshots() == before

    def test_a_longer_file_adds_what_is_new(self, desk: Desk) -> None:
        desk.csv(GOOD)
        result = desk.csv(GOOD + "AAPL.NASDAQ,2024-01-04,12,13,10,13,100\n", at=LATER)
        assert (result.new, result.known) == (1, 3)
        assert desk.closes() == [11.0, 12.0, 13.0]

    def test_a_corrected_file_is_a_revision_and_nothing_is_overwritten(self, desk: Desk) -> None:
        desk.csv(GOOD)
        before = desk.snapshots()
        result = desk.csv(GOOD.replace("11,13,10,12", "11,13,10,12.5"), at=LATER)
        assert (result.new, result.known, result.revised) == (0, 2, 1)
        assert desk.closes() == [11.0, 12.5]
        assert desk.snapshots()[BARS] == before[BARS]
        (row,) = query.read(desk.depot.reader, REVISIONS).to_pylist()
        assert (row["close"], row["known_at"]) == (12.5, LATER)

    def test_the_old_file_again_takes_the_correction_back(self, desk: Desk) -> None:
        """The latest word counts: a bar is what was last said about it."""
        desk.csv(GOOD)
        desk.csv(GOOD.replace("11,13,10,12", "11,13,10,12.5"), at=LATER)
        desk.csv(GOOD, at=LATER + dt.timedelta(days=1))
        assert desk.closes() == [11.0, 12.0]

    def test_rejected_rows_are_counted_and_kept_with_their_reason(self, desk: Desk) -> None:
        text = GOOD + (
            "AAPL.NASDAQ,2024-01-02,10,12,9,11,100\n"  # 4: the same bar as row 1
            "AAPL,2024-01-05,1,1,1,1,1\n"  # 5
            "AAPL.NASDAQ,2024-01-06,1,1\n"  # 6: too short
            "AAPL.NASDAQ,2024-01-07,1,1,1,x,1\n"  # 7
        )
        result = desk.csv(text)
        assert (result.read, result.new, result.rejected) == (7, 3, 4)
        assert result.reasons == {
            "bad_symbol": 1,
            "duplicate_key": 1,
            "not_a_number": 1,
            "wrong_columns": 1,
        }
        rows = query.read(desk.depot.reader, REJECTS).to_pylist()
        assert [(row["row"], row["reason"]) for row in rows] == [
            (4, "duplicate_key"),
            (5, "bad_symbol"),
            (6, "wrong_columns"),
            (7, "not_a_number"),
        ]
        assert json.loads(rows[3]["content"])["close"] == "x"
        assert {row["table_name"] for row in rows} == {BARS}
        assert {row["payload_sha256"] for row in rows} == {result.payload_sha256}

    def test_rejects_of_a_known_file_are_not_kept_twice(self, desk: Desk) -> None:
        text = GOOD + "AAPL,2024-01-05,1,1,1,1,1\n"
        desk.csv(text)
        before = desk.snapshots()
        assert desk.csv(text, at=LATER).rejected == 1
        assert desk.snapshots() == before

    def test_another_reading_of_a_known_file_reads_it_anew(self, desk: Desk) -> None:
        local = HEADER + "AAPL.NASDAQ,2024-01-02 15:00,1,1,1,1,1\n"
        desk.csv(local)
        desk.csv(local, reading={"timezone": "America/New_York"}, at=LATER)
        ends = query.read(desk.depot.reader, BARS).column("timestamp").to_pylist()
        assert [moment.hour for moment in ends] == [15, 20]

    def test_bronze_keeps_the_rows_as_they_came(self, desk: Desk) -> None:
        result = desk.csv(GOOD + "AAPL,yesterday,a,b,c,d,e\n")
        raw = query.read(desk.depot.reader, result.tables[0].table).to_pylist()
        assert [row["timestamp"] for row in raw][-1] == "yesterday"
        assert len(raw) == 4

    def test_intraday_bars_go_to_their_own_table(self, desk: Desk) -> None:
        (desk.inbox / "x.csv").write_text(HEADER + "AAPL.NASDAQ,2024-01-02 00:00:00,1,1,1,1,1\n")
        hours = "alphaswarm_silver_market.bars_1h"
        desk.ingest({"provider": "files", "path": "x.csv", "table": hours})
        assert query.coverage(desk.depot.reader, hours)[0].first.hour == 0

    @pytest.mark.parametrize(
        ("text", "error", "code"),
        [
            pytest.param("", EmptyAppendError, "empty_append", id="empty"),
            pytest.param(HEADER, EmptyAppendError, "empty_append", id="header only"),
            pytest.param(
                GOOD.replace("close", "clse"), SchemaMismatchError, "schema_mismatch", id="column"
            ),
            pytest.param(
                HEADER + "AAPL.NASDAQ,02/01/2024,a,b,c,d,e\n" * 3,
                SchemaMismatchError,
                "schema_mismatch",
                id="no row is a bar",
            ),
        ],
    )
    def test_a_hopeless_file_writes_nothing(
        self, desk: Desk, text: str, error: type[AlphaSwarmError], code: str
    ) -> None:
        with pytest.raises(error) as caught:
            desk.csv(text)
        assert caught.value.wire_code == code
        assert caught.value.hint
        assert query.tables(desk.depot.reader) == []

    def test_a_hopeless_file_is_explained(self, desk: Desk) -> None:
        with pytest.raises(SchemaMismatchError) as caught:
            desk.csv(HEADER + "AAPL.NASDAQ,02/01/2024,1,1,1,1,1\n" * 5)
        assert caught.value.facts["reasons"] == {"bad_time": 5}
        assert caught.value.facts["examples"][0]["row"] == 1
        assert "2024-01-31" in caught.value.hint

    def test_a_path_outside_is_refused(self, desk: Desk) -> None:
        with pytest.raises(PathNotAllowedError):
            desk.ingest({"provider": "files", "path": "/etc/passwd", "table": BARS})


class TestInterrupted:
    """A second attempt of a run writes what the first did not, and nothing twice."""

    @pytest.mark.parametrize("call", range(1, 5))
    def test_an_attempt_that_dies_at_any_append_is_completed_by_the_next(
        self, desk: Desk, call: int
    ) -> None:
        text = GOOD + "AAPL,2024-01-05,1,1,1,1,1\n"
        run_id = new_id(NOW)
        dying = DyingAt(desk.depot.log, call)
        try:
            desk.csv(text, run_id=run_id, log=dying)
        except FaultError:
            assert dying.settled == call
        result = desk.csv(text, run_id=run_id)
        assert (result.new, result.rejected) == (3, 1)
        told = [(t.table, t.rows) for t in result.tables]
        assert told[1:] == [(BARS, 3), (REJECTS, 1)]
        for table in (BARS, REJECTS):
            assert len(about.snapshots(desk.depot.reader, table)) == 1

    def test_a_halt_between_two_tables_leaves_whole_tables(self, desk: Desk) -> None:
        class Halting(Silent):
            def checkpoint(self) -> None:
                if any(stage == "layer.done" for stage, _ in self.frames):
                    raise HaltedError("halted")

        desk.progress = Halting()
        with pytest.raises(HaltedError):
            desk.csv(GOOD)
        (bronze,) = query.tables(desk.depot.reader)
        assert about.describe(desk.depot.reader, bronze).rows == 3

    def test_a_store_that_fails_is_told_and_nothing_is_half(self, desk: Desk) -> None:
        log = FaultyLog(desk.depot.log, {"before claim": failing(FaultError("no store"))})
        with pytest.raises(FaultError, match="no store"):
            desk.csv(GOOD, log=log)
        assert query.tables(desk.depot.reader) == []


class DyingAt(FaultyLog):
    """Fails when the n-th append wants to settle: its rows are committed, its claim is open."""

    def __init__(self, log: Appends, call: int) -> None:
        super().__init__(log, {})
        self.call = call
        self.settled = 0

    def settle(self, table: str, key: str, snapshot_id: str) -> None:
        self.settled += 1
        if self.settled == self.call:
            raise FaultError("died")
        super().settle(table, key, snapshot_id)
