"""What a read of the lake costs beside DuckDB on one bare, sorted file: `... bench_reads [ROWS]`.

Ten million hourly bars of five hundred symbols lie in a table by months, sorted, and in a Parquet
file sorted by symbol and time, which is the best that a file can do for one symbol's month. Ours
asks the catalog, plans and reads; the peer only reads. Both have a DuckDB open that keeps no file.
An aggregate is gated beside DuckDB on the table's own files, and shown beside the sorted one.
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
    files = str(Path(place.lake.warehouse.removeprefix("file://")) / "**" / "*.parquet")

    def ours() -> pa.Table:
        return scan.select(SUMMARY, {"held": scan.plan(catalog.load(place.lake, TABLE))})

    exact = ["vt_symbol", "bars", "high"]  # sums in parallel differ in the last digit
    assert ours().select(exact).equals(held(file, SUMMARY).select(exact))
    times = [
        (seconds(ours), seconds(lambda: held(files, SUMMARY)), seconds(lambda: held(file, SUMMARY)))
        for _ in range(15)
    ]
    mine, same, best = (min(column) for column in zip(*times, strict=True))
    limit = {"limit": LIMITS["aggregate"]} if gated else {}
    figure("reads: aggregate", mine, same, **limit)
    figure("reads: aggregate, beside one sorted file", mine, best)


def held(file: Path | str, sql: str) -> pa.Table:
    """Run ``sql`` over the file in a DuckDB that is open already."""
    with _PEER.cursor() as connection:
        reading = f"read_parquet('{file}', hive_partitioning=false)"
        connection.execute(f"CREATE TEMP VIEW held AS SELECT * FROM {reading}")
        return connection.sql(sql).to_arrow_table()


_PEER = duckdb.connect(config={"enable_external_file_cache": False})
_PEER.execute("SET GLOBAL TimeZone = 'UTC'")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
