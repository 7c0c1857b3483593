"""What a read of the lake costs beside DuckDB on one bare, sorted file: `... bench_reads [ROWS]`.

Ten million hourly bars of five hundred symbols lie in a table by months, sorted, and in a Parquet
file sorted by symbol and time, which is the best that a file can do for one symbol's month. Both
sides start from nothing: ours asks the catalog, plans and reads; the peer opens a DuckDB and reads.
"""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse import catalog, query, scan
from lakehouse.catalog import PROPERTIES
from lakehouse.write import append_arrow
from tests.benchmarks.market import ROWS, Stand, figure, hourly, median, seconds, stand, symbol
from topology.ids import new_id

TABLE = "alphaswarm_silver_bench.bars_1h"
ROUNDS = 15
LIMITS = {"point lookup": 3.0, "aggregate": 1.2}
SUMMARY = (
    "SELECT vt_symbol, count(*) AS bars, max(high) AS high, avg(close) AS close FROM held "
    "GROUP BY vt_symbol ORDER BY vt_symbol"
)


def main(rows: int) -> None:
    """Print the figures."""
    with stand() as place:
        data = hourly(rows)
        file = place.folder / "sorted.parquet"
        pq.write_table(
            data,
            file,
            compression="zstd",
            row_group_size=int(PROPERTIES["write.parquet.row-group-limit"]),
        )
        run_id = new_id(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
        append_arrow(
            "silver",
            TABLE,
            data,
            key="bench",
            run_id=run_id,
            spec_sha256="0" * 64,
            log=place.log,
            lake=place.lake,
        )
        del data
        gate = rows == ROWS
        point(place, file, gated=gate)
        aggregate(place, file, gated=gate)


def point(place: Stand, file: Path, *, gated: bool) -> None:
    """Read one symbol's month, another symbol each time."""
    start, end = dt.datetime(2023, 3, 1, tzinfo=dt.UTC), dt.datetime(2023, 4, 1, tzinfo=dt.UTC)
    numbers = iter(range(7, 500, 3))
    peers = iter(range(7, 500, 3))

    def ours() -> pa.Table:
        where = scan.Where(symbols=[symbol(next(numbers))], start=start, end=end)
        return query.read(place.lake, TABLE, where=where)

    def bare() -> pa.Table:
        return held(
            file,
            f"SELECT * FROM held WHERE vt_symbol = '{symbol(next(peers))}' AND timestamp >= "
            "TIMESTAMPTZ '2023-03-01 00:00Z' AND timestamp < TIMESTAMPTZ '2023-04-01 00:00Z' "
            "ORDER BY vt_symbol, timestamp",
        )

    assert ours().equals(bare())
    pairs = [(seconds(ours), seconds(bare)) for _ in range(ROUNDS)]
    mine, peer = (sorted(times)[len(times) // 2] for times in zip(*pairs, strict=True))
    limit = {"limit": LIMITS["point lookup"]} if gated else {}
    figure("reads: point lookup", mine, peer, **limit)
    loaded = catalog.load(place.lake, TABLE)
    where = scan.Where(symbols=[symbol(3)], start=start, end=end)
    figure("reads: of it, catalog", median(lambda: catalog.load(place.lake, TABLE), ROUNDS), None)
    figure("reads: of it, plan", median(lambda: scan.plan(loaded, where=where), ROUNDS), None)


def aggregate(place: Stand, file: Path, *, gated: bool) -> None:
    """Aggregate the whole table by symbol."""

    def ours() -> pa.Table:
        return scan.select(SUMMARY, {"held": scan.plan(catalog.load(place.lake, TABLE))})

    def bare() -> pa.Table:
        return held(file, SUMMARY)

    exact = ["vt_symbol", "bars", "high"]  # sums in parallel differ in the last digit
    assert ours().select(exact).equals(bare().select(exact))
    pairs = [(seconds(ours), seconds(bare)) for _ in range(7)]
    limit = {"limit": LIMITS["aggregate"]} if gated else {}
    figure("reads: aggregate", min(m for m, _ in pairs), min(p for _, p in pairs), **limit)


def held(file: Path, sql: str) -> pa.Table:
    """Run ``sql`` over the file in a DuckDB of its own."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"CREATE VIEW held AS SELECT * FROM read_parquet('{file}')")
        return connection.sql(sql).to_arrow_table()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
