"""Ingest runs from their spec to silver, with the real ledger and lake."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from lakehouse import catalog, query, schemas
from lakehouse.layers import TableName
from lakehouse.scan import Where
from ledger import runs
from runtimes import dispatch
from runtimes.base import perform
from runtimes.context import Workshop
from runtimes.data.runtime import DataRuntime
from runtimes.specs.base import parse
from tests.kit.work import frames_of
from topology.latch import Latch
from topology.principal import Principal

ANNA = Principal(subject="anna", client_id="tests")
GOOD = """Date,Symbol,Open,High,Low,Close,Volume
2012-01-03,AAA.TEST,10,11,9,10.5,1000
2012-01-04,AAA.TEST,10.5,12,10,11.5,1100
2012-01-04,BBB.TEST,20,21,19,20.5,500
"""
COLUMNS = {"vt_symbol": "Symbol", "timestamp": "Date"}


def table(name: str) -> str:
    return f"alphaswarm_silver_{name}.bars_1d"


def ingest(
    workshop: Workshop, *, name: str, inputs: dict[str, str] | None = None, **more: Any
) -> runs.Run:
    """Submit an ingest spec, perform it in this thread, and return the run's row."""
    body = {"kind": "data", "name": f"ingest-{name}", "table": table(name), **more}
    handle = dispatch.submit(
        workshop.pool,
        parse("data", body),
        principal=ANNA,
        queue="batch",
        clock=workshop.clock,
        inputs=inputs or {},
    )
    perform(workshop, "data", handle.run_id, DataRuntime)
    return runs.get(workshop.pool, handle.run_id)


def from_file(workshop: Workshop, text: str, *, name: str, **reading: Any) -> runs.Run:
    """Put a file into the inbox and ingest it."""
    path = workshop.home.inbox / f"{name}.csv"
    path.write_text(text)
    return ingest(
        workshop,
        name=name,
        inputs={"payload_sha256": hashlib.sha256(text.encode()).hexdigest()},
        provider="files",
        path=path.name,
        reading={"columns": COLUMNS} | reading,
    )


def test_a_table_that_its_writer_left_empty_stops_no_later_ingest(workshop: Workshop) -> None:
    """Killed between making a table and the first commit, a worker leaves one without rows."""
    left = TableName.parse(table("left"))
    catalog.create(workshop.lake, left, schemas.BARS)

    run = from_file(workshop, GOOD, name="left")

    assert run.status == "succeeded", run.error
    assert run.snapshot_ids == {}
    assert run.statistics is not None
    assert run.statistics["new"] == 3


def test_the_sample_arrives_whole_and_only_once(workshop: Workshop) -> None:
    first = ingest(workshop, name="sample", provider="sample")
    second = ingest(workshop, name="sample", provider="sample")

    assert first.status == second.status == "succeeded", (first.error, second.error)
    assert first.statistics is not None
    assert second.statistics is not None
    assert (first.statistics["new"], first.statistics["rejected"]) == (12_154, 0)
    assert (second.statistics["new"], second.statistics["known"]) == (0, 12_154)
    assert {row.vt_symbol: row.rows for row in query.coverage(workshop.lake, table("sample"))} == {
        "AAPL.NASDAQ": 3_270,
        "FB.NASDAQ": 196,
        "GOOG.NASDAQ": 2_148,
        "IBM.NYSE": 3_270,
        "MSFT.NASDAQ": 3_270,
    }


def test_an_ingest_says_what_each_layer_got(workshop: Workshop) -> None:
    run = from_file(workshop, GOOD, name="frames")

    frames = frames_of(workshop.pool, run.task_id)
    layers = [frame.extras for frame in frames if frame.stage == "layer.done"]
    assert run.status == "succeeded", run.error
    assert [frame.stage for frame in frames][:2] == ["start", "rows.processed"]
    assert layers[0]["table"].startswith("alphaswarm_bronze_files.")
    assert layers[1]["table"] == table("frames")
    assert (layers[1]["rows"], layers[1]["rejected"]) == (3, 0)
    assert layers[1]["snapshot_id"].isdecimal()
    assert run.result_tables is not None
    assert table("frames") in run.result_tables.values()


def test_a_bar_ends_at_the_close_of_its_day(workshop: Workshop) -> None:
    from_file(workshop, GOOD, name="zone", timezone="America/New_York", close="16:00")

    bars = query.read(workshop.lake, table("zone"), where=Where(symbols=["BBB.TEST"]))

    assert [str(moment) for moment in bars.column("timestamp").to_pylist()] == [
        "2012-01-04 21:00:00+00:00"
    ]


def test_rejected_rows_are_counted_warned_of_and_kept(workshop: Workshop) -> None:
    text = GOOD + "2012-01-05,AAA.TEST,10,9,11,10,100\nnot a day,AAA.TEST,1,1,1,1,1\n"

    run = from_file(workshop, text, name="rejects")

    assert run.statistics is not None
    assert (run.statistics["new"], run.statistics["rejected"]) == (3, 2)
    warning = next(f for f in frames_of(workshop.pool, run.task_id) if f.stage == "warning")
    assert warning.extras["code"] == "rows_rejected"
    assert sum(warning.extras["reasons"].values()) == 2
    kept = query.read(workshop.lake, "alphaswarm_silver_rejects.rejects")
    assert kept.num_rows == 2


def test_a_file_that_changed_after_it_was_submitted_is_refused(workshop: Workshop) -> None:
    (workshop.home.inbox / "changed.csv").write_text(GOOD)

    run = ingest(
        workshop,
        name="changed",
        inputs={"payload_sha256": "0" * 64},
        provider="files",
        path="changed.csv",
        reading={"columns": COLUMNS},
    )

    assert run.status == "failed"
    assert run.error is not None
    assert "changed" in run.error["message"]
    assert table("changed") not in query.tables(workshop.lake)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("", "empty_append", id="an empty file"),
        pytest.param("Date,Symbol\n", "empty_append", id="a header and nothing else"),
        pytest.param("a,b\n1,2\n", "schema_mismatch", id="columns of something else"),
        pytest.param(
            GOOD.replace("10,11,9,10.5", "x,x,x,x")
            .replace("10.5,12,10,11.5", "x,x,x,x")
            .replace("20,21,19,20.5", "x,x,x,x"),
            "schema_mismatch",
            id="not one row is a bar",
        ),
    ],
)
def test_files_that_hold_no_bars_fail_and_write_nothing(
    workshop: Workshop, text: str, code: str
) -> None:
    before = query.tables(workshop.lake)

    run = from_file(workshop, text, name="nothing")

    assert run.status == "failed"
    assert run.error is not None
    assert run.error["code"] == code
    assert run.error["hint"]
    assert query.tables(workshop.lake) == before


def test_an_unreadable_latch_halts_what_changes_the_lake(workshop: Workshop) -> None:
    latch = workshop.home.latch
    away = latch.with_suffix(".aside")
    latch.rename(away)
    try:
        run = from_file(workshop, GOOD, name="unlatched")
    finally:
        away.rename(latch)

    assert run.status == "halted"
    assert table("unlatched") not in query.tables(workshop.lake)


def test_a_halt_of_the_kind_stops_an_ingest_before_it_writes(workshop: Workshop) -> None:
    with Latch.open(workshop.home.latch) as latch:
        epoch = latch.press("kind:data")
        try:
            run = from_file(workshop, GOOD, name="unwritten")
        finally:
            latch.lift("kind:data", epoch=epoch)

    assert run.status == "halted"
    assert table("unwritten") not in query.tables(workshop.lake)


def test_paths_out_of_the_inbox_are_refused_by_the_worker_too(
    workshop: Workshop, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text(GOOD)
    (workshop.home.inbox / "sly.csv").symlink_to(secret)

    run = ingest(
        workshop,
        name="sly",
        inputs={"payload_sha256": hashlib.sha256(GOOD.encode()).hexdigest()},
        provider="files",
        path="sly.csv",
        reading={"columns": COLUMNS},
    )

    assert run.error is not None
    assert run.error["code"] == "path_not_allowed"
