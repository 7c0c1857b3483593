"""Where rows wait between bronze and silver: typed, judged, sorted; on disk, not in memory.

A DuckDB of one attempt that spills to a folder of its own. It holds nothing that bronze does not,
so it may be lost at any moment: the next attempt begins anew.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from lakehouse import days, scan
from lakehouse.clean import NUMBERS, REASONS, Cleaning
from lakehouse.providers.base import Broken, Kind

BATCH = 50_000
"""Most rows that are read, cleaned or handed out at a time."""
_STRANGE = """
CREATE OR REPLACE TEMP TABLE expected AS
SELECT g.vt_symbol, coalesce(g."timestamp" >= d.day, false) AS later,
    CASE WHEN any_value(d.day) IS NULL AND any_value(h.currency) IS NOT NULL
        THEN any_value(h.currency) ELSE arg_min(g.currency, (g."timestamp", g._no, g._row)) END
        AS currency
FROM good g LEFT JOIN declared d USING (vt_symbol) LEFT JOIN held h USING (vt_symbol)
GROUP BY 1, 2;
CREATE OR REPLACE TEMP TABLE strange AS
SELECT g._no, g._row FROM good g LEFT JOIN declared d USING (vt_symbol)
JOIN expected e ON e.vt_symbol = g.vt_symbol AND e.currency <> g.currency
    AND e.later = coalesce(g."timestamp" >= d.day, false);
"""
_NAIVE = """
CREATE OR REPLACE TEMP TABLE strange AS
SELECT _no, _row FROM good WHERE NOT zoned AND _no IN (
    SELECT _no FROM good GROUP BY _no HAVING bool_or(zoned) AND NOT bool_and(zoned));
"""


class Staging:
    """Rows of several payloads, each known by its number ``_no`` in the order of the ingest."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, kind: Kind) -> None:
        self._db = connection
        self.facts: list[pa.Table] = []  # what payloads say beside bars is small
        self._values = ["vt_symbol", '"timestamp"', *NUMBERS[kind], "currency"]
        numbers = ", ".join(f"{name} DOUBLE" for name in NUMBERS[kind])
        self._db.execute(
            f'CREATE TABLE good (_no INTEGER, _row BIGINT, vt_symbol VARCHAR, "timestamp" '
            f"TIMESTAMPTZ, {numbers}, currency VARCHAR, zoned BOOLEAN)"
        )
        self._db.execute(
            "CREATE TABLE rejects (_no INTEGER, _row BIGINT, reason VARCHAR, detail VARCHAR, "
            "content VARCHAR)"
        )
        self._db.execute("CREATE TABLE reasons (reason VARCHAR, text VARCHAR)")
        self._db.executemany("INSERT INTO reasons VALUES (?, ?)", [*map(list, REASONS.items())])

    def read(self, plan: scan.Plan, numbers: Mapping[str, int], *, rows: int) -> Iterator[pa.Table]:
        """Yield the bronze rows of these payloads (hash to number) with the column ``_no``."""
        cursor = self._db.cursor()
        cursor.execute("SET TimeZone = 'UTC'")
        cursor.register("wanted", pa.table({"sha256": [*numbers], "_no": [*numbers.values()]}))
        scan.offer(cursor, "bronze", plan)
        reader = cursor.sql(
            "SELECT b.*, w._no FROM bronze b JOIN wanted w ON w.sha256 = b._payload_sha256"
        ).to_arrow_reader(rows)
        for batch in reader:
            if batch.num_rows:
                yield pa.Table.from_batches([batch])
        cursor.close()

    def add(self, rows: pa.Table, cleaning: Cleaning) -> None:
        """Clean ``rows`` and keep the good and the bad ones."""
        self._db.register("raw", rows)
        self._db.register("unknown", cleaning.unknown)
        self._db.execute(
            f"CREATE OR REPLACE TEMP TABLE judged AS {cleaning.sql}", dict(cleaning.parameters)
        )
        values = ", ".join(self._values)
        good = self._db.execute(
            f"INSERT INTO good SELECT _no, _row, {values}, zoned FROM judged "  # noqa: S608
            "WHERE reason IS NULL"
        ).fetchall()[0][0]
        if good < rows.num_rows:
            self._db.execute(
                f"INSERT INTO rejects SELECT j._no, j._row, j.reason, r.text, {cleaning.content} "  # noqa: S608
                "FROM judged j JOIN raw ON raw._no = j._no AND raw._row = j._row "
                "JOIN reasons r ON r.reason = j.reason"
            )
        self._db.unregister("raw")

    def broken(self, no: int, lines: Sequence[Broken]) -> None:
        """Keep lines of a payload that are no rows."""
        if lines:
            rows = [[no, line.row, "wrong_columns", line.detail, line.content] for line in lines]
            self._db.executemany("INSERT INTO rejects VALUES (?, ?, ?, ?, ?)", rows)

    def rename(self, names: pa.Table, *, daily: bool) -> None:
        """Give good rows the symbol that bore their name (``name, vt_symbol, first, last``) then.

        A bar's day is that of the exchange in its name (`lakehouse.days`).
        """
        if names.num_rows:
            named = names.column("name").unique().to_pylist()
            day = days.sql(named, daily=daily, symbol="good.vt_symbol", end='good."timestamp"')
            self._db.register("names", names)
            self._db.execute(
                "UPDATE good SET vt_symbol = n.vt_symbol FROM names n "  # noqa: S608
                f"WHERE good.vt_symbol = n.name AND {day} "
                "BETWEEN n.first AND coalesce(n.last, DATE '9999-12-31')"
            )
            self._db.unregister("names")

    def reject(self, rows: pa.Table) -> None:
        """Keep rows that were judged elsewhere: ``_no, _row, reason, detail, content``."""
        self._db.register("others", rows)
        self._db.execute(
            "INSERT INTO rejects SELECT _no, _row, reason, detail, content FROM others"
        )
        self._db.unregister("others")

    def judge(self, held: pa.Table, declared: Mapping[str, dt.date]) -> None:
        """Reject what only the whole tells: times without a zone among others, other currencies.

        ``held`` has the currency of each symbol that the table knows, ``declared`` the day from
        which a symbol's prices are in another one. A symbol that is new has that of its first row.
        """
        self._reject(_NAIVE, "mixed_zones")
        days = {"vt_symbol": [*declared], "day": pa.array([*declared.values()], pa.date32())}
        self._db.register("declared", pa.table(days))
        self._db.register("held", held)
        self._reject(_STRANGE, "other_currency")

    def doubles(self, rows: pa.Table) -> None:
        """Reject rows for which the payload has others: ``_no, _row, kept`` and their values."""
        self._db.register("doubles", rows)
        self._db.execute(
            "INSERT INTO rejects SELECT _no, _row, 'duplicate_key', "  # noqa: S608
            f"'{REASONS['duplicate_key']} row ' || kept, {self._content()} FROM doubles"
        )
        self._db.unregister("doubles")

    def symbols(self) -> list[str]:
        """Return the symbols of the good rows, sorted."""
        sql = "SELECT DISTINCT vt_symbol FROM good ORDER BY 1"
        return [row[0] for row in self._db.execute(sql).fetchall()]

    def period(self, symbols: Sequence[str] | None) -> tuple[dt.datetime, dt.datetime] | None:
        """Return the first and the last end of the good rows; None where there are none."""
        sql = f'SELECT min("timestamp"), max("timestamp") FROM good WHERE {_chosen(symbols)}'  # noqa: S608
        found = self._db.execute(sql).fetchall()
        return None if found[0][0] is None else (found[0][0], found[0][1])

    def count(self, symbols: Sequence[str] | None = None) -> int:
        """Return how many good rows there are of ``symbols``; None: of all."""
        sql = f"SELECT count(*) FROM good WHERE {_chosen(symbols)}"  # noqa: S608
        return int(self._db.execute(sql).fetchall()[0][0])

    def rows(self, symbols: Sequence[str] | None = None) -> dict[int, int]:
        """Return how many good rows of ``symbols`` each payload has."""
        sql = f"SELECT _no, count(*) FROM good WHERE {_chosen(symbols)} GROUP BY 1"  # noqa: S608
        return dict(self._db.execute(sql).fetchall())

    def good(self, symbols: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the good rows by month, symbol, time, and then in the order they came in."""
        yield from self._stream(
            f"SELECT {', '.join(self._values)}, _no, _row FROM good WHERE {_chosen(symbols)} "  # noqa: S608
            'ORDER BY date_trunc(\'month\', "timestamp"), vt_symbol, "timestamp", _no, _row'
        )

    def rejects(self) -> Iterator[pa.RecordBatch]:
        """Yield the rejects in the order they came in."""
        yield from self._stream("SELECT * FROM rejects ORDER BY _no, _row, reason")

    def reasons(self) -> dict[int, dict[str, int]]:
        """Return how many rows of each payload were rejected for which reason."""
        found: dict[int, dict[str, int]] = {}
        sql = "SELECT _no, reason, count(*) FROM rejects GROUP BY 1, 2 ORDER BY 1, 2"
        for no, reason, count in self._db.execute(sql).fetchall():
            found.setdefault(no, {})[reason] = count
        return found

    def _stream(self, sql: str) -> Iterator[pa.RecordBatch]:
        cursor = self._db.cursor()
        cursor.execute("SET TimeZone = 'UTC'")
        reader = cursor.sql(sql).to_arrow_reader(BATCH)
        yield pa.RecordBatch.from_pylist([], reader.schema)  # a schema even without rows
        yield from reader
        cursor.close()

    def _reject(self, sql: str, reason: str) -> None:
        """Move the rows that ``sql`` puts into ``strange`` from the good ones to the rejects."""
        for statement in filter(str.strip, sql.split(";")):
            self._db.execute(statement)
        found = self._db.execute("SELECT count(*) FROM strange").fetchall()
        if not found[0][0]:
            return
        same = "s._no = good._no AND s._row = good._row"
        self._db.execute(
            f"INSERT INTO rejects SELECT _no, _row, '{reason}', '{REASONS[reason]}', "  # noqa: S608
            f"{self._content()} FROM good WHERE EXISTS (FROM strange s WHERE {same})"
        )
        self._db.execute(f"DELETE FROM good WHERE EXISTS (FROM strange s WHERE {same})")  # noqa: S608

    def _content(self) -> str:
        struct = ", ".join(f"'{name.strip(chr(34))}': {name}" for name in self._values)
        return f"to_json({{{struct}}})::VARCHAR"


@contextmanager
def opened(kind: Kind, *, memory_mb: int, spill: Path) -> Iterator[Staging]:
    """Yield an empty staging; beyond ``memory_mb`` it works in ``spill``."""
    with scan.connected(memory_mb=memory_mb, spill=spill) as connection:
        connection.execute("SET threads = 1")  # each thread of a sort wants memory of its own
        connection.execute("SET preserve_insertion_order = false")
        yield Staging(connection, kind)


def _chosen(symbols: Sequence[str] | None) -> str:
    if symbols is None:
        return "true"
    return f"vt_symbol IN ({', '.join(map(scan.quoted, symbols))})"
