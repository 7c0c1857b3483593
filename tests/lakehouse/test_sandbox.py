"""SQL of agents on a real lake: honest queries, JSON values, attacks, bombs and their limits."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lakehouse import catalog, confined, sandbox
from lakehouse.errors import (
    InvalidSqlError,
    SnapshotExpiredError,
    SqlMemoryError,
    TableNotFoundError,
)
from lakehouse.sandbox import SqlResult, query_sql
from lakehouse.schemas import TIME
from tests.kit.lake import BARS, NOW, Depot, bars
from topology.errors import AlphaSwarmError, BadInputError, FaultError, StoreUnreachableError
from topology.sections import SqlLimits

QUICK = SqlLimits(timeout_s=1)
PATIENT = SqlLimits(timeout_s=30)
"""For honest queries on a machine that does other things, too."""
MB = 2**20


@pytest.fixture
def ask(market: Depot) -> Any:
    def asked(sql: str, **named: Any) -> SqlResult:
        return query_sql(market.reader, sql, **{"limits": PATIENT, **named})

    return asked


def data_files(depot: Depot) -> list[Path]:
    return sorted(Path(depot.reader.warehouse.removeprefix("file://")).rglob("*.parquet"))


HONEST = [
    pytest.param("SELECT count(*) FROM {bars}", [[5]], id="count"),
    pytest.param(
        "WITH a AS (SELECT vt_symbol, max(close) m FROM {bars} GROUP BY 1) FROM a ORDER BY m",
        [["AAPL.NASDAQ", 12.0], ["MSFT.NASDAQ", 21.0]],
        id="cte",
    ),
    pytest.param(
        "SELECT close - lag(close) OVER (PARTITION BY vt_symbol ORDER BY timestamp) FROM {bars} "
        "WHERE vt_symbol = 'AAPL.NASDAQ' ORDER BY timestamp",
        [[None], [1.0], [1.0]],
        id="window",
    ),
    pytest.param(
        "SELECT a.close, b.close FROM {bars} a ASOF JOIN {bars} b ON a.timestamp >= b.timestamp "
        "AND b.vt_symbol = 'MSFT.NASDAQ' WHERE a.vt_symbol = 'AAPL.NASDAQ' ORDER BY a.timestamp",
        [[10.0, 20.0], [11.0, 21.0], [12.0, 21.0]],
        id="asof join",
    ),
    pytest.param("FROM (VALUES (1), (2)) INTERSECT SELECT 2", [[2]], id="set operation"),
    pytest.param(
        "WITH RECURSIVE r AS (SELECT 1 i UNION ALL SELECT i + 1 FROM r) SELECT i FROM r LIMIT 3",
        [[1], [2], [3]],
        id="endless recursion with a limit",
    ),
    pytest.param(
        "SELECT column_name, column_type FROM (DESCRIBE {bars}) LIMIT 2",
        [["vt_symbol", "VARCHAR"], ["timestamp", "TIMESTAMP WITH TIME ZONE"]],
        id="describe",
    ),
    pytest.param(
        "SELECT column_name, min FROM (SUMMARIZE SELECT close FROM {bars})",
        [["close", "10.0"]],
        id="summarize",
    ),
    pytest.param(
        "SELECT timestamp FROM {bars} ORDER BY 1 LIMIT 1", [["2024-01-02T21:00:00Z"]], id="time"
    ),
    pytest.param(
        "SELECT time_bucket(INTERVAL 1 MONTH, timestamp) AS m, count(*) FROM {bars} GROUP BY ALL",
        [["2024-01-01T00:00:00Z", 5]],
        id="months are UTC's",
    ),
]


@pytest.mark.parametrize(("sql", "rows"), HONEST)
def test_honest_queries_are_answered(ask: Any, sql: str, rows: list[list[Any]]) -> None:
    found = ask(sql.format(bars=BARS))
    assert (found.rows, found.row_count, found.truncated) == (rows, len(rows), False)


VALUES = [
    ("'nan'::DOUBLE", None, "DOUBLE"),
    ("'-inf'::FLOAT", None, "FLOAT"),
    ("NULL", None, '"NULL"'),
    ("true", True, "BOOLEAN"),
    ("9007199254740991", 2**53 - 1, "BIGINT"),
    ("9007199254740992", "9007199254740992", "BIGINT"),
    ("sum(3)", 3, "HUGEINT"),
    ("1.25", 1.25, "DECIMAL(3,2)"),
    ("12345678901234567.89", "12345678901234567.89", "DECIMAL(19,2)"),
    ("DATE '2024-02-29'", "2024-02-29", "DATE"),
    ("TIME '12:30'", "12:30:00", "TIME"),
    ("'12:30:00+02:00'::TIMETZ", "12:30:00+02", "TIME WITH TIME ZONE"),
    ("TIMESTAMP '2024-01-02 03:04:05.678901'", "2024-01-02T03:04:05.678901Z", "TIMESTAMP"),
    ("TIMESTAMPTZ '2024-01-02 03:04:05+02'", "2024-01-02T01:04:05Z", "TIMESTAMP WITH TIME ZONE"),
    (
        "TIMESTAMP_NS '2024-01-02 03:04:05.678901234'",
        "2024-01-02 03:04:05.678901234",
        "TIMESTAMP_NS",
    ),
    ("INTERVAL 1 MONTH", "1 month", "INTERVAL"),
    ("'\\x00\\xFF'::BLOB", "00ff", "BLOB"),
    ("'101'::BIT", "101", "BIT"),
    ("[1, NULL, 3]", [1, None, 3], "INTEGER[]"),
    ("{'a': [TIMESTAMPTZ '2024-01-02 00:00:00Z']}", {"a": ["2024-01-02T00:00:00Z"]}, None),
    ("MAP([1, 2], ['a', 'b'])", [[1, "a"], [2, "b"]], "MAP(INTEGER, VARCHAR)"),
    ("'a'::ENUM('a', 'b')", "a", "ENUM('a', 'b')"),
    ("'\"é\\u0001'", '"é\\u0001', "VARCHAR"),
]


@pytest.mark.parametrize(("expression", "value", "kind"), VALUES, ids=[v[0] for v in VALUES])
def test_values_are_json(ask: Any, expression: str, value: Any, kind: str | None) -> None:
    found = ask(f"SELECT {expression} AS v")
    assert found.rows == [[value]]
    assert found.columns[0].name == "v"
    assert kind in (None, found.columns[0].type)


@pytest.mark.parametrize("moment", ["'infinity'::TIMESTAMPTZ", "DATE '29000-01-01'"])
def test_times_that_no_calendar_holds_are_explained(ask: Any, moment: str) -> None:
    with pytest.raises(InvalidSqlError, match="years 1 to 9999") as refused:
        ask(f"SELECT {moment}")
    assert "VARCHAR" in refused.value.hint


def test_doubled_column_names_stay_apart(ask: Any) -> None:
    found = ask("SELECT 1 AS a, INTERVAL 2 DAY AS a")
    assert found.rows == [[1, "2 days"]]


@pytest.mark.parametrize(("most", "cut"), [(1, True), (4, True), (5, False), (6, False)])
def test_more_rows_than_asked_for_are_a_flag(ask: Any, most: int, *, cut: bool) -> None:
    found = ask(f"FROM {BARS}", max_rows=most)
    assert (found.row_count, found.truncated) == (min(most, 5), cut)


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("SELECT 1 FROM range(10000000000)", id="ten thousand million rows"),
        pytest.param("SELECT repeat('x', 100000) FROM range(5000)", id="wide rows"),
        pytest.param("SELECT range(10000) FROM range(5000)", id="many small values"),
    ],
)
def test_results_beyond_a_cap_are_cut(ask: Any, sql: str) -> None:
    found = ask(sql, max_rows=1000)
    assert found.truncated
    assert 0 < found.row_count <= 1000


def test_few_of_many_wide_rows(ask: Any) -> None:
    assert ask("SELECT repeat('x', 100000) FROM range(5000)", max_rows=3).row_count == 3


def test_a_query_reads_the_snapshots_it_names(depot: Depot) -> None:
    first = depot.append(BARS, bars(), key="1")
    second = depot.append(BARS, bars("MSFT.NASDAQ"), key="2")
    sql = f"SELECT count(*) FROM {BARS.upper()}"
    now = query_sql(depot.reader, sql)
    then = query_sql(depot.reader, sql, as_of=first.snapshot_id)
    assert (now.rows, now.snapshot_ids) == ([[6]], {BARS: second.snapshot_id})
    assert (then.rows, then.snapshot_ids) == ([[3]], {BARS: first.snapshot_id})
    with pytest.raises(SnapshotExpiredError):
        query_sql(depot.reader, sql, as_of="2001-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("alphaswarm_silver_market.bars_1h", [BARS]),
        ("bars_1d", [BARS]),
        ("information_schema.tables", None),
        ("duckdb_settings", None),
        ("pg_catalog.pg_settings", None),
        ("memory.alphaswarm_silver_market.bars_1d", None),
        ("'/etc/passwd.csv'", None),
        ("'../../x.parquet'", None),
        ("'https://example.org/x.parquet'", None),
        ("'s3://bucket/x.parquet'", None),
    ],
)
def test_what_is_no_table_is_not_found(ask: Any, name: str, nearest: list[str] | None) -> None:
    with pytest.raises(TableNotFoundError) as missing:
        ask(f"SELECT * FROM {name}")
    assert nearest in (None, missing.value.facts["nearest"])


def test_the_file_of_a_table_is_no_table(ask: Any, market: Depot) -> None:
    (file, *_) = data_files(market)
    with pytest.raises(TableNotFoundError):
        ask(f"SELECT * FROM '{file}'")


def test_a_cte_of_another_scope_opens_no_file(ask: Any, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("word\nxyzzy\n", encoding="utf-8")
    with pytest.raises(AlphaSwarmError) as refused:
        ask(f"SELECT * FROM '{secret}', (WITH \"{secret}\" AS (SELECT 1) SELECT 1)")
    assert refused.value.wire_code == "table_not_found"
    assert "xyzzy" not in str(refused.value.body())


def test_data_files_are_read_only_once_queried(ask: Any, market: Depot) -> None:
    ask(f"SELECT 1 FROM {BARS}")
    assert {stat.S_IMODE(file.stat().st_mode) for file in data_files(market)} == {0o444}


def test_a_changed_file_closes_query_sql(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    depot.append(BARS, bars())
    monkeypatch.setattr(sandbox, "_closed", threading.Event())
    (file,) = data_files(depot)
    endless = f"SELECT count(*) FROM {BARS} a, range(10000000) b, range(10000000) c"

    def touch() -> None:
        time.sleep(QUICK.timeout_s / 2)
        os.utime(file)

    other = threading.Thread(target=touch)
    other.start()
    with pytest.raises(FaultError, match="closed"):
        query_sql(depot.reader, endless, limits=QUICK)
    other.join()
    with pytest.raises(FaultError, match="closed"):
        query_sql(depot.reader, "SELECT 1")


def test_a_lost_file_is_a_fault_of_the_warehouse(depot: Depot) -> None:
    depot.append(BARS, bars())
    (file,) = data_files(depot)
    file.unlink()
    with pytest.raises(StoreUnreachableError) as fault:
        query_sql(depot.reader, f"SELECT close FROM {BARS}")
    assert str(file) not in str(fault.value.body())


def test_more_memory_may_be_given(ask: Any) -> None:
    sql = "SELECT max(s) FROM (SELECT string_agg(i, ',') s FROM range(20000000) t(i))"
    with pytest.raises(SqlMemoryError):
        ask(sql, limits=SqlLimits(timeout_s=20, memory_mb=64))
    roomy = ask(f"SELECT length(({sql}))", limits=SqlLimits(timeout_s=20, memory_mb=4096))
    assert roomy.rows == [[168888889]]


@pytest.mark.parametrize(
    ("sql", "named", "told"),
    [
        pytest.param("", {}, "characters", id="empty"),
        pytest.param("SELECT '\0'", {}, "NUL", id="NUL"),
        pytest.param("SELECT '\ud800'", {}, "half a pair", id="half a surrogate pair"),
        pytest.param(f"SELECT '{'x' * 20_000}'", {}, "characters", id="too long"),
        pytest.param("SELECT 1", {"max_rows": 0}, "max_rows", id="no rows"),
        pytest.param("SELECT 1", {"max_rows": 10_001}, "max_rows", id="too many rows"),
        pytest.param("SELECT 1 FROM {bars}", {"as_of": "yesterday"}, "snapshot id", id="as_of"),
        pytest.param("SELECT 1", {"as_of": "yesterday"}, "snapshot id", id="as_of of no table"),
        pytest.param("SELECT clos FROM {bars}", {}, '"close"', id="unknown column, nearest named"),
        pytest.param("SELECT 'a'::INT", {}, "Could not convert", id="failing cast"),
        pytest.param(
            "SELECT CASE WHEN i < 3000 THEN i ELSE error('late') END FROM range(300000) t(i)",
            {"max_rows": 10_000},
            "late",
            id="an error on the way",
        ),
        pytest.param("SELECT $1", {}, "fails", id="parameters"),
        pytest.param("SELECT nosuch(1)", {}, "nosuch", id="unknown function"),
        pytest.param("SELECT error('boom')", {}, "boom", id="an error of its own"),
    ],
)
def test_bad_input_is_explained(ask: Any, sql: str, named: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInputError, match=told) as refused:
        ask(sql.replace("{bars}", BARS), **named)
    assert refused.value.wire_code == "invalid_arguments"
    assert "/" not in refused.value.message


def test_threads_take_turns_and_none_is_lost(market: Depot) -> None:
    found: list[Any] = []

    def count(number: int) -> None:
        found.append(query_sql(market.reader, f"SELECT count(*) + {number} FROM {BARS}").rows)

    threads = [threading.Thread(target=count, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [[[5 + i]] for i in range(12)]


@pytest.fixture
def child() -> Iterator[int]:
    """Yield the pid of a child that waits for its query."""
    with closing(sandbox._nursery.child()) as line:
        assert line.poll(30)
        yield int(json.loads(line.recv_bytes())["pid"])


def test_a_child_has_no_rights_and_no_environment(
    child: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Path(f"/proc/{child}")
    status = dict(line.split(":\t", 1) for line in (place / "status").read_text().splitlines())
    assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh")} == {0}
    assert status["Threads"].strip() == "1"
    limits = (place / "limits").read_text()
    assert re.search(r"Max file size +0 +0 ", limits)
    assert (status["Seccomp"].strip(), status["NoNewPrivs"].strip()) == ("2", "1")
    assert (place / "oom_score_adj").read_text() == "1000\n"
    assert os.getpriority(os.PRIO_PROCESS, child) == min(os.nice(0) + confined.NICE, 19)
    given = {entry.partition("=")[0] for entry in (place / "environ").read_text().split("\0")}
    assert not given & {"HOME", "PATH", "PGPASSWORD"}
    assert "PYTHONPATH" in given


def test_bounds_of_a_query(tmp_path: Path) -> None:
    program = (
        "import resource; from lakehouse import cell; cell.confine(3.0, 256);"
        "print(*(resource.getrlimit(n)[0] for n in (resource.RLIMIT_AS, resource.RLIMIT_CPU)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(2**31), "12"]


def test_children_end_with_their_nursery_and_another_takes_over(ask: Any, child: int) -> None:
    process = sandbox._nursery._process
    assert process is not None
    process.kill()
    process.wait()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{child}").exists()
    assert ask("SELECT 1").rows == [[1]]


def test_a_script_may_query_without_a_guard(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "print('once')\n"
        "from lakehouse import sandbox\n"
        "from lakehouse.lake import open_lake\n"
        "lake = open_lake('postgresql+psycopg://nobody@/lake', '/nowhere')\n"
        "print(sandbox.query_sql(lake, 'SELECT 41 + 1').rows)\n",
        encoding="utf-8",
    )
    root = str(Path(sandbox.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert (done.stdout, done.stderr, done.returncode) == ("once\n[[42]]\n", "", 0)


def test_a_warm_query_is_quick(ask: Any, record_property: Any) -> None:
    ask(f"SELECT 1 FROM {BARS}")
    taken = []
    for _ in range(10):
        started = time.perf_counter()
        ask(f"SELECT max(close) FROM {BARS}")
        taken.append(time.perf_counter() - started)
    best = min(taken)
    print(f"warm query_sql: best {best * 1e3:.0f} ms, worst {max(taken) * 1e3:.0f} ms")
    assert best < 1.0


def test_a_dead_catalog_is_a_fault_not_a_crash(tmp_path: Path) -> None:
    from lakehouse.lake import open_lake

    lake = open_lake(f"postgresql+psycopg://x@/lake?host={tmp_path}", str(tmp_path))
    try:
        with pytest.raises(StoreUnreachableError):
            query_sql(lake, f"SELECT 1 FROM {BARS}")
    finally:
        catalog.close(lake)


def test_a_corrected_bar_is_read_as_first_and_as_now_known(depot: Depot) -> None:
    """Beside ``bars_1d`` stands ``bars_1d_latest``, with the latest correction of each bar."""
    first = depot.append(BARS, bars(), key="1")
    corrected = bars(closes=(10.5,)).append_column("known_at", pa.array([NOW]).cast(TIME))
    depot.append(f"{BARS}_revisions", corrected, key="2")

    def closes(table: str, **named: Any) -> list[Any]:
        found = query_sql(depot.reader, f"SELECT close FROM {table} ORDER BY timestamp", **named)
        return [row[0] for row in found.rows]

    assert closes(BARS) == [10.0, 11.0, 12.0]
    assert closes(f"{BARS}_latest") == [10.5, 11.0, 12.0]
    assert closes(f"{BARS}_latest", as_of=first.snapshot_id) == [10.0, 11.0, 12.0]
    found = query_sql(depot.reader, f"SELECT 1 FROM {BARS}_latest")
    assert set(found.snapshot_ids) == {BARS, f"{BARS}_revisions"}


def test_bars_that_were_never_corrected_are_the_latest(ask: Any) -> None:
    assert ask(f"SELECT count(*) FROM {BARS}_latest").rows == [[5]]
    with pytest.raises(TableNotFoundError):
        ask("SELECT 1 FROM alphaswarm_silver_market.nothing_latest")


def test_a_time_hides_the_rows_dated_after_it(depot: Depot) -> None:
    """A row of the snapshot that was current then, but dated later, was not known then."""
    depot.append(
        BARS, pa.concat_tables([bars(), bars(start=dt.datetime(2100, 1, 1, tzinfo=dt.UTC))])
    )
    snapshot = catalog.load(depot.reader, BARS).current_snapshot()
    assert snapshot is not None
    then = dt.datetime.fromtimestamp(snapshot.timestamp_ms / 1000 + 1, dt.UTC)

    def count(as_of: str | None) -> Any:
        return query_sql(depot.reader, f"SELECT count(*) FROM {BARS}", as_of=as_of).rows

    assert count(None) == [[6]]
    assert count(str(snapshot.snapshot_id)) == [[6]]
    assert count(then.isoformat()) == [[3]]


def test_a_killed_server_leaves_no_query_behind(tmp_path: Path) -> None:
    """kill -9 of whoever asked: the warm process reads it off its line, and its children go."""
    program = (
        "import threading\n"
        "from lakehouse import sandbox\n"
        "from lakehouse.lake import open_lake\n"
        "lake = open_lake('postgresql+psycopg://nobody@/lake', '/nowhere')\n"
        "sandbox.query_sql(lake, 'SELECT 1')\n"
        "print(sandbox._nursery._process.pid, flush=True)\n"
        "sandbox.query_sql(lake, 'SELECT count(*) FROM range(10000000) a, range(10000000) b')\n"
    )
    root = str(Path(sandbox.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=root
    ) as server:
        assert server.stdout is not None
        nursery = Path(f"/proc/{int(server.stdout.readline())}")
        listed = nursery / "task" / nursery.name / "children"
        assert until(lambda: bool(listed.read_text().split()))
        (query,) = (Path(f"/proc/{pid}") for pid in listed.read_text().split())
        server.kill()
    assert until(lambda: not nursery.exists() and not query.exists())


def until(happened: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.01)
    return happened()


@pytest.mark.parametrize("number", range(3))
def test_the_queries_of_the_documentation_are_answered(ask: Any, number: int) -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "sql.md"
    examples = re.findall(r"^```sql\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(examples) == 3
    assert ask(examples[number]).row_count > 0
