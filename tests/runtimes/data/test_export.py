"""Exports: one Parquet file per run, the same bytes for the same rows, within bounded memory."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse import export
from ledger import runs
from runtimes.base import Outcome, perform
from runtimes.context import RunContext, Workshop
from runtimes.data import artifacts
from runtimes.data.export import _written
from runtimes.data.runtime import DataRuntime
from runtimes.specs.base import parse
from tests.kit.exports import exported, submitted
from tests.kit.market import START, put, walks
from tests.kit.work import Bench, frames_of
from topology.errors import InvalidSpecError

TABLE = "alphaswarm_silver_crate.bars_1d"
DAYS = 40


@pytest.fixture(scope="module", autouse=True)
def crate(workshop: Workshop) -> dict[str, str]:
    """Put two symbols into a table in two snapshots, correct one bar, and split one symbol."""
    whole = walks(["BBB.TEST", "AAA.TEST"], bars=DAYS)
    first = put(workshop, TABLE, whole.slice(0, DAYS))
    put(workshop, TABLE, whole.slice(DAYS))
    late = pa.array([dt.datetime(2026, 1, 1, tzinfo=dt.UTC)], pa.timestamp("us", tz="UTC"))
    bar = whole.slice(0, 1)
    for name in ("open", "high", "low", "close"):
        place = bar.schema.get_field_index(name)
        bar = bar.set_column(place, name, pa.array([77.0]))
    put(workshop, f"{TABLE}_revisions", bar.append_column("known_at", late))
    return {"first": first.snapshot_id}


def file_of(workshop: Workshop, run: runs.Run) -> Path:
    assert run.status == "succeeded", run.error
    assert run.statistics is not None
    return workshop.home.artifacts / "exports" / f"{run.statistics['sha256']}.parquet"


def test_a_table_becomes_a_sorted_file_that_is_named_by_its_digest(workshop: Workshop) -> None:
    run = exported(workshop, TABLE)

    path = file_of(workshop, run)
    table = pq.read_table(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == run.result_sha
    assert path.stat().st_mode & 0o777 == 0o600
    keys = list(
        zip(*(table.column(n).to_pylist() for n in ("vt_symbol", "timestamp")), strict=True)
    )
    assert keys == sorted(keys)
    assert len(keys) == 2 * DAYS
    assert run.statistics is not None
    assert run.statistics["rows"] == 2 * DAYS
    assert run.statistics["bytes"] == path.stat().st_size
    assert run.statistics["uri"] == f"data://exports/{run.run_id}"
    assert run.statistics["columns"]["timestamp"] == "timestamp[us, tz=UTC]"


def test_the_same_rows_are_the_same_bytes_and_other_rows_are_others(workshop: Workshop) -> None:
    first, again, other = (
        exported(workshop, TABLE, symbols=["AAA.TEST"]),
        exported(workshop, TABLE, symbols=["AAA.TEST"]),
        exported(workshop, TABLE, symbols=["BBB.TEST"]),
    )

    assert first.run_sha == again.run_sha
    assert first.result_sha == again.result_sha != other.result_sha


def test_columns_days_and_symbols_restrict_it(workshop: Workshop) -> None:
    run = exported(
        workshop,
        TABLE,
        columns=["close", "timestamp"],
        symbols=["AAA.TEST"],
        start="2001-01-02",
        end="2001-01-03",
    )

    table = pq.read_table(file_of(workshop, run))
    assert table.column_names == ["close", "timestamp"]
    assert [str(day.date()) for day in table.column("timestamp").to_pylist()] == [
        "2001-01-02",
        "2001-01-03",
    ]


def test_corrections_are_laid_over_unless_the_first_values_are_asked_for(
    workshop: Workshop,
) -> None:
    latest, first = (exported(workshop, TABLE, revisions=how) for how in ("latest", "first"))

    def close(run: runs.Run) -> float:
        table = pq.read_table(file_of(workshop, run))
        place = table.column("vt_symbol").to_pylist().index("BBB.TEST")
        return float(table.column("close")[place].as_py())

    assert close(latest) == 77.0
    assert close(first) == pytest.approx(walks(["BBB.TEST", "A.T"], bars=DAYS)["close"][0].as_py())


def test_an_older_snapshot_has_fewer_symbols(workshop: Workshop, crate: dict[str, str]) -> None:
    run = exported(workshop, TABLE, as_of=crate["first"])

    assert run.snapshot_ids == {TABLE: crate["first"]}
    assert set(pq.read_table(file_of(workshop, run)).column("vt_symbol").to_pylist()) == {
        "BBB.TEST"
    }


def test_the_file_says_where_it_comes_from(workshop: Workshop) -> None:
    run = exported(workshop, TABLE, adjust="total")

    facts = pq.read_schema(file_of(workshop, run)).metadata
    assert facts[b"alphaswarm.table"] == TABLE.encode()
    assert facts[b"alphaswarm.adjust"] == b"total"
    warning = next(f for f in frames_of(workshop.pool, run.task_id) if f.stage == "warning")
    assert warning.extras["code"] == "unadjusted"
    assert warning.extras["symbols"] == ["AAA.TEST", "BBB.TEST"]


def test_progress_counts_rows_to_a_known_total(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "GROUP", 32)

    run = exported(workshop, TABLE, name="in-groups")  # other groups are other bytes: its own spec

    frames = [f for f in frames_of(workshop.pool, run.task_id) if f.stage == "rows.processed"]
    counted = [(f.extras["current"], f.extras["total"]) for f in frames]
    assert counted == [(0, 80), (32, 80), (64, 80), (80, 80)]
    assert pq.ParquetFile(file_of(workshop, run)).metadata.num_row_groups == 3


def test_nothing_is_left_beside_the_file(workshop: Workshop) -> None:
    file_of(workshop, exported(workshop, TABLE))

    left = [path.name for path in artifacts.exports(workshop.home).iterdir()]
    assert [name for name in left if not name.endswith(".parquet")] == []


def test_a_table_without_rows_is_a_file_without_rows(workshop: Workshop) -> None:
    run = exported(workshop, TABLE, start="2040-01-01")

    table = pq.read_table(file_of(workshop, run))
    assert (table.num_rows, table.column_names[0]) == (0, "vt_symbol")


@pytest.mark.parametrize(
    ("more", "code"),
    [
        pytest.param({"columns": ["clos"]}, "unknown_name", id="column"),
        pytest.param({"symbols": ["AAB.TEST"]}, "unknown_name", id="symbol"),
        pytest.param({"as_of": "12345"}, "snapshot_expired", id="snapshot"),
        pytest.param({"as_of": "1999-01-01T00:00:00Z"}, "snapshot_expired", id="before the first"),
    ],
)
def test_what_cannot_be_exported_fails_with_a_cure(
    workshop: Workshop, more: dict[str, Any], code: str
) -> None:
    run = exported(workshop, TABLE, **more)

    assert run.status == "failed"
    assert run.error is not None
    assert run.error["code"] == code
    assert run.error["hint"]


def test_a_table_that_is_not_there_has_a_neighbour(workshop: Workshop) -> None:
    run = exported(workshop, "alphaswarm_silver_crat.bars_1d")

    assert run.error is not None
    assert run.error["code"] == "table_not_found"
    assert TABLE in run.error["facts"]["nearest"]


@pytest.mark.parametrize(
    ("more", "path"),
    [
        pytest.param({"table": "bars_1d"}, "table", id="no table's name"),
        pytest.param({"as_of": "yesterday"}, "as_of", id="no time"),
        pytest.param({"as_of": "2024-01-01T00:00:00"}, "as_of", id="a time without a zone"),
        pytest.param({"start": "2024-01-02", "end": "2024-01-01"}, "end", id="end before start"),
        pytest.param({"columns": ["close", "close"]}, "columns", id="a column twice"),
        pytest.param({"symbols": ["close"]}, "symbols[0]", id="no symbol"),
        pytest.param({"adjust": "all"}, "adjust", id="no adjustment"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(more: dict[str, Any], path: str) -> None:
    body = {"kind": "data", "task": "export", "name": "crate", "table": TABLE, **more}

    with pytest.raises(InvalidSpecError) as refused:
        parse("data", body)

    assert refused.value.facts["errors"][0]["path"] == path


def test_other_bytes_for_the_same_work_are_refused(
    workshop: Workshop, superuser: psycopg.Connection[Any]
) -> None:
    """A row says that the same work once gave something else, on a broken machine perhaps."""
    first = exported(workshop, TABLE, name="diverges")
    superuser.execute("SET session_replication_role = replica")  # ended rows change for nobody else
    changed = superuser.execute(
        "UPDATE data_runs SET result_sha = %s WHERE run_id = %s", ("f" * 64, first.run_id)
    )
    assert changed.rowcount == 1

    again = exported(workshop, TABLE, name="diverges")

    assert again.error is not None
    assert again.error["code"] == "replay_diverged"
    assert again.error["facts"]["earlier"] == "f" * 64


def test_a_cancelled_export_leaves_nothing(workshop: Workshop) -> None:
    run = submitted(workshop, TABLE, name="crate-cancelled")
    runs.cancel(workshop.pool, run.run_id, by="anna", bus=workshop.bus)

    perform(workshop, "data", run.run_id, DataRuntime)

    assert runs.get(workshop.pool, run.run_id).status == "cancelled"
    assert not list(artifacts.exports(workshop.home).glob(f".{run.run_id}*"))


def test_a_cancelled_export_stops_in_the_middle_of_sorting(
    workshop: Workshop, bench: Bench, crate: dict[str, str], tmp_path: Path
) -> None:
    def for_ever(context: RunContext) -> Outcome:
        with export.opened(
            workshop.lake,
            export.Wanted(table=TABLE),
            snapshot_ids={TABLE: crate["first"]},
            spill=tmp_path / "spill",
        ) as rows:
            endless = f"SELECT h.* FROM ({rows.source.sql}) h, range(1000000000)"
            rows.source = dataclasses.replace(rows.source, sql=endless)
            runs.cancel(workshop.pool, run.run_id, by="anna", bus=workshop.bus)
            _written(context, rows, tmp_path / "part")
        raise AssertionError("it was not stopped")

    run = bench.submit()
    began = time.monotonic()
    ended = bench.perform(for_ever, run=run)

    assert ended.status == "cancelled", ended.error
    assert time.monotonic() - began < 20
    assert not (tmp_path / "spill").exists()


def test_a_second_attempt_begins_anew_and_makes_the_same_bytes(workshop: Workshop) -> None:
    folder = artifacts.exports(workshop.home)
    whole = exported(workshop, TABLE, columns=["vt_symbol"])
    run = submitted(workshop, TABLE, columns=["vt_symbol"])
    (folder / f".{run.run_id}.part").write_bytes(b"half a file of a worker that was killed")
    (folder / f".{run.run_id}.spill").mkdir()

    perform(workshop, "data", run.run_id, DataRuntime)

    assert runs.get(workshop.pool, run.run_id).result_sha == whole.result_sha
    assert not list(folder.glob(f".{run.run_id}*"))


def test_what_has_expired_is_swept_and_what_has_not_stays(workshop: Workshop) -> None:
    path = file_of(workshop, exported(workshop, TABLE))
    now = workshop.clock.now()
    keep_s = workshop.topology.limits.exports_s
    old = now.timestamp() - keep_s - artifacts.GRACE_S - 1
    expired, part = path.with_name("0" * 64 + ".parquet"), path.with_name(".dead.part")
    for one in (expired, part):
        one.write_bytes(b"x")
        os.utime(one, (old, old))

    assert artifacts.sweep(workshop.home, now=now, keep_s=keep_s) == 2
    assert path.exists()
    assert not expired.exists()


def test_a_repeated_export_begins_its_time_anew(workshop: Workshop) -> None:
    path = file_of(workshop, exported(workshop, TABLE, symbols=["BBB.TEST"]))
    os.utime(path, (START.timestamp(), START.timestamp()))

    file_of(workshop, exported(workshop, TABLE, symbols=["BBB.TEST"]))

    assert path.stat().st_mtime > START.timestamp() + 86_400


def test_sorting_spills_to_disk_rather_than_hold_the_table(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "MEMORY_MB", 96)
    table, bars = "alphaswarm_silver_haystack.bars_1m", 400_000
    receipt = put(workshop, table, minutes(["ZZZ.TEST", "AAA.TEST"], bars=bars))
    spill, path = tmp_path / "spill", tmp_path / "out.parquet"

    with export.opened(
        workshop.lake,
        export.Wanted(table=table),
        snapshot_ids={table: receipt.snapshot_id},
        spill=spill,
    ) as rows:
        spilt = [any(spill.rglob("*")) for _ in export.write(path, rows)]

    assert any(spilt)
    assert not spill.exists()
    found = pq.read_table(path, columns=["vt_symbol", "timestamp"])
    assert found.num_rows == 2 * bars
    assert found.column("vt_symbol")[bars - 1].as_py() == "AAA.TEST"
    assert found.column("vt_symbol")[bars].as_py() == "ZZZ.TEST"
    times = found.column("timestamp").cast(pa.int64()).to_numpy()[:bars]
    assert (np.diff(times) > 0).all()


def minutes(symbols: list[str], *, bars: int) -> pa.Table:
    """Return random walks again, one bar a minute."""
    table = walks(symbols, bars=bars)
    place = table.schema.get_field_index("timestamp")
    start = int(START.timestamp() * 1e6)
    times = np.tile(start + 60_000_000 * np.arange(bars), len(symbols))
    return table.set_column(place, "timestamp", pa.array(times, pa.timestamp("us", tz="UTC")))
