"""What bronze, judgement and exactly once cost an ingest: `python -m tests.benchmarks ingest`.

Silver: a million bars, half of them known, against ten times as many, beside DuckDB's bare
anti-join from one Parquet file into another. Lean: minute files of a Lean data folder, zips and
all, beside Python's zipfile, pyarrow's CSV reader and one Parquet file per symbol.
"""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from lakehouse import query
from lakehouse.ingest import ingest
from lakehouse.job import Run
from lakehouse.write import append_arrow
from tests.benchmarks.market import Stand, figure, hourly, seconds, stand
from tests.kit import leanfolder
from tests.kit.lake import Silent
from topology.ids import new_id

TABLE = "alphaswarm_silver_bench.bars_1h"
MINUTES = "alphaswarm_silver_lean.bars_1m"
HELD, NEW = 4_000_000, 500_000
TICKERS, DAYS = 10, 20
ROUNDS = 3
LIMITS = {"silver": 6.0, "lean minutes": 120.0}
"""Generous. Ours sorts, hashes and partitions; of Lean's files it keeps bronze, judges every bar
by the calendar and commits to six tables, where the peer writes ten files."""
CREATED = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def main() -> None:
    """Print the figures."""
    with stand() as place:
        silver(place)
        lean(place)


def silver(place: Stand) -> None:
    """Append bars of which every second one is there already."""
    held = hourly(HELD)
    bare = place.folder / "held.parquet"
    pq.write_table(held, bare, compression="zstd")
    append(place, held, "held")
    first = HELD // 500
    ours, peers = [], []
    for number in range(ROUNDS):
        batch = hourly(2 * NEW, first=first - NEW // 500)  # as many known as new
        first += NEW // 500
        ours.append(seconds(partial(append, place, batch, f"batch {number}")))
        peers.append(seconds(partial(joined, batch, bare, place.folder / "new.parquet")))
    rows = query.coverage(place.lake, TABLE)[0].rows
    assert rows == (HELD + ROUNDS * NEW) // 500
    best = min(ours)
    figure("ingest: silver", best, min(peers), limit=LIMITS["silver"], rows_s=round(2 * NEW / best))


def append(place: Stand, data: pa.Table, key: str) -> None:
    """Append to silver: what is known is left out, under the lock of the table."""
    append_arrow(
        "silver",
        TABLE,
        data,
        key=key,
        run_id=new_id(CREATED),
        spec_sha256="0" * 64,
        log=place.log,
        lake=place.lake,
    )


def joined(batch: pa.Table, held: Path, new: Path) -> None:
    """Write what of the batch the file does not hold: DuckDB alone."""
    with duckdb.connect() as connection:
        connection.register("batch", batch)
        connection.execute(
            f"COPY (SELECT b.* FROM batch b ANTI JOIN read_parquet('{held}') h "
            "ON h.vt_symbol = b.vt_symbol AND h.timestamp = b.timestamp "
            f"ORDER BY b.vt_symbol, b.timestamp) TO '{new}' (COMPRESSION zstd)"
        )


def lean(place: Stand) -> None:
    """Ingest a Lean data folder of minutes, bronze, silver, quality and all."""
    inbox = place.folder / "inbox"
    root = inbox / "lean"
    written = folder(root)
    run = Run(
        place.lake,
        place.log,
        run_id=new_id(CREATED),
        spec_sha256="0" * 64,
        created_at=CREATED,
        progress=Silent(),
        spill=place.folder / "spill",
    )
    run.spill.mkdir()
    spec = {"provider": "lean", "path": "lean", "table": MINUTES}
    results = []
    ours = seconds(lambda: results.append(ingest(run, spec, allowed=[inbox])))
    assert results[0].new == written
    peer = min(seconds(lambda: unpacked(root, place.folder / "peer")) for _ in range(ROUNDS))
    figure(
        "ingest: lean minutes",
        ours,
        peer,
        limit=LIMITS["lean minutes"],
        rows=written,
        files=results[0].payloads,
        rows_s=round(written / ours),
    )


def folder(root: Path) -> int:
    """Write minutes of some coins, one zip each day, and return how many."""
    noise = np.random.default_rng(3)
    for ticker in range(TICKERS):
        for day in range(DAYS):
            start = dt.datetime(2024, 1, 1) + dt.timedelta(days=day)  # noqa: DTZ001  a zone's clock
            close = np.round(100 + np.cumsum(noise.normal(0, 0.05, 1440)), 2).tolist()
            rows = [
                (start + dt.timedelta(minutes=i), (c, c + 0.5, c - 0.5, c, 10.0))
                for i, c in enumerate(close)
            ]
            name = f"cc{chr(97 + ticker)}usd"
            place = root / "crypto" / "coinbase" / "minute" / name / f"{start:%Y%m%d}_trade.zip"
            leanfolder.minutes(place, rows, prices=())
    return TICKERS * DAYS * 1440


def unpacked(root: Path, target: Path) -> None:
    """Read all zips and write one file per symbol."""
    target.mkdir(exist_ok=True)
    names = ["time", "open", "high", "low", "close", "volume"]
    for coin in sorted((root / "crypto" / "coinbase" / "minute").iterdir()):
        parts = []
        for place in sorted(coin.iterdir()):
            with zipfile.ZipFile(place) as archive:
                data = archive.read(archive.namelist()[0])
            reading = pcsv.ReadOptions(column_names=names)
            parts.append(pcsv.read_csv(io.BytesIO(data), read_options=reading))
        pq.write_table(pa.concat_tables(parts), target / f"{coin.name}.parquet", compression="zstd")


if __name__ == "__main__":
    main()
