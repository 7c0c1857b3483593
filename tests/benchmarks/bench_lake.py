"""What exactly once, snapshots and planning cost over bare Parquet: `... bench_lake [ROWS]`.

An equity curve of ten million bars (640 MB in memory) is appended to an unpartitioned table,
beside pyarrow's writer with the same codec and row groups; then it is aggregated by day, beside
DuckDB on that very file. Best of three each, in seconds, by turns in one process. Shown beside
them: as many hourly bars into silver, sorted and split into months, once as they lie there and
once shuffled, beside pyarrow writing them as one file.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse import batch, catalog, scan
from lakehouse.catalog import PROPERTIES
from lakehouse.lake import Lake
from lakehouse.schemas import EQUITY
from lakehouse.write import append_arrow
from ledger.appends import Appends
from tests.benchmarks.market import hourly, seconds, stand
from topology.clock import SystemClock
from topology.ids import new_id

ROWS = 10_000_000
ROUNDS = 3
LIMITS = {"append": 1.3, "append with digest": 1.8, "aggregate scan": 1.2}
SQL = (
    'SELECT "timestamp"::DATE AS day, count(*) AS bars, max(equity) AS high, avg(fees) AS fees '
    "FROM held GROUP BY day ORDER BY day"
)


def curve(rows: int) -> pa.Table:
    """Return an equity curve of one bar a second."""
    noise = np.random.default_rng(7)
    start = int(dt.datetime(2020, 1, 1, tzinfo=dt.UTC).timestamp())
    times = (start + np.arange(rows, dtype=np.int64)) * 1_000_000
    numbers = {
        name: np.round(np.cumsum(noise.normal(size=rows)), 2)
        for name in EQUITY.columns.names
        if name != "timestamp"
    }
    return pa.table({"timestamp": pa.array(times).cast(pa.timestamp("us", tz="UTC")), **numbers})


def main(rows: int) -> None:
    """Print the figures."""
    with stand() as place:
        file = place.folder / "peer.parquet"
        unpartitioned(place.lake, place.log, file, rows)
        partitioned(place.lake, place.log, file, rows)


def unpartitioned(lake: Lake, log: Appends, file: Path, rows: int) -> None:
    """Append a curve and aggregate it."""
    data = curve(rows)
    append(lake, log, data.slice(0, 1_000))
    peers, appends, digests = [], [], []
    fitted = batch.fit(data, EQUITY)
    for _ in range(ROUNDS):
        peers.append(seconds(lambda: parquet(data, file)))
        appends.append(seconds(lambda: append(lake, log, data)))
        digests.append(seconds(lambda: batch.digest(fitted)))
    peer, whole = min(peers), min(appends)
    figure("append with digest", whole, peer, rows=rows, digest=round(min(digests), 3))
    figure("append", whole - min(digests), peer, rows=rows)
    aggregate(lake, append(lake, log, data), file, rows)


def append(lake: Lake, log: Appends, data: pa.Table) -> str:
    """Append to a table of its own and return the table's name."""
    run_id = new_id(SystemClock().now())
    table = f"alphaswarm_gold_backtests.run_{run_id}"
    append_arrow(
        "gold", table, data, key=run_id, run_id=run_id, spec_sha256="0" * 64, log=log, lake=lake
    )
    return table


def partitioned(lake: Lake, log: Appends, file: Path, rows: int) -> None:
    """Append bars to a table by months, which their key is looked up in: sorted, then shuffled."""
    bars = hourly(rows)
    peer = seconds(lambda: parquet(bars, file))
    order = np.random.default_rng(1).permutation(bars.num_rows)
    for name in ("sorted", "shuffled"):
        given = bars if name == "sorted" else bars.take(order)
        took = seconds(partial(silver, lake, log, given, f"alphaswarm_silver_{name}.bars_1h"))
        figure(f"{name} bars by month", took, peer, rows=rows)


def silver(lake: Lake, log: Appends, data: pa.Table, table: str) -> None:
    """Append to a silver table."""
    run_id = new_id(SystemClock().now())
    append_arrow(
        "silver", table, data, key=run_id, run_id=run_id, spec_sha256="0" * 64, log=log, lake=lake
    )


def parquet(data: pa.Table, file: Path) -> None:
    """Write the same rows as one bare file."""
    pq.write_table(
        data,
        file,
        compression="zstd",
        row_group_size=int(PROPERTIES["write.parquet.row-group-limit"]),
    )


def aggregate(lake: Lake, table: str, file: Path, rows: int) -> None:
    """Aggregate by day: planned by Iceberg, and on the bare file."""

    def ours() -> pa.Table:
        return scan.select(SQL, {"held": scan.plan(catalog.load(lake, table))})

    peer = duckdb.connect(config={"enable_external_file_cache": False})
    peer.execute("SET TimeZone = 'UTC'")
    peer.execute(f"CREATE VIEW held AS SELECT * FROM read_parquet('{file}')")

    def bare() -> pa.Table:
        return peer.sql(SQL).to_arrow_table()

    exact = ["day", "bars", "high"]  # sums in parallel differ in the last digit
    assert ours().select(exact) == bare().select(exact)
    times = [(seconds(ours), seconds(bare)) for _ in range(ROUNDS * 2)]
    figure(
        "aggregate scan", min(own for own, _ in times), min(peer for _, peer in times), rows=rows
    )


def figure(name: str, ours: float, peer: float, **more: object) -> None:
    """Print one figure; ``limit`` gates the ratio at full size, where fixed costs are small."""
    gate = {"limit": LIMITS[name]} if more["rows"] == ROWS and name in LIMITS else {}
    told = {"ours": round(ours, 3), "peer": round(peer, 3), "ratio": round(ours / peer, 3)}
    print(json.dumps({"name": f"lake: {name}", **told, **gate, **more}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
