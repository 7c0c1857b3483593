"""The memory of an ingest larger than it: `python -m tests.benchmarks memory`, only if named.

A CSV of 2 GB is ingested by a process of its own under a limit of 512 MB, for minutes. Its peak
resident size is measured, beside the same process after a CSV of 20 MB: what libraries, threads
and a small ingest take anyway. `... bench_memory MB` makes the file smaller.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from lakehouse.ingest import ingest
from lakehouse.job import Run
from lakehouse.lake import open_lake
from ledger.appends import Appends
from ledger.pool import open_pool
from tests.benchmarks.market import Stand, stand, symbol
from tests.kit.lake import Silent
from topology.ids import new_id

CSV_MB, SMALL_MB, LIMIT_MB = 2_048, 20, 512
TABLE = "alphaswarm_silver_{}.bars_1m"
SYMBOLS = 100
PEAK = 2.0
"""Most of the limit that the ingest may take besides what the small one takes anyway."""
MB = 1 << 20


def main(csv_mb: int) -> None:
    """Print the figure."""
    with stand() as place:
        inbox = place.folder / "inbox"
        inbox.mkdir()
        small, _, _ = measured(place, inbox, SMALL_MB, "small")
        peak, rows, took = measured(place, inbox, csv_mb, "large")
        grown = peak - small
        told = {"ours": round(grown), "peer": LIMIT_MB, "ratio": round(grown / LIMIT_MB, 3)}
        more = {"peak_mb": round(peak), "small_mb": round(small), "csv_mb": csv_mb, "rows": rows}
        line = {"name": "memory: growth of an ingest, MB / its limit", **told, "limit": PEAK}
        print(json.dumps({**line, **more, "rows_s": round(rows / took)}), flush=True)


def measured(place: Stand, inbox: Path, size_mb: int, name: str) -> tuple[float, int, float]:
    """Ingest a file of that size in a process of its own; return peak MB, rows, seconds."""
    rows = write(inbox / f"{name}.csv", size_mb)
    given = {
        "uri": place.lake.uri,
        "warehouse": place.lake.warehouse,
        "dsn": place.log_dsn,
        "inbox": str(inbox),
        "name": name,
    }
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.bench_memory", "child"],
        input=json.dumps(given),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2"},
    )
    (inbox / f"{name}.csv").unlink()
    found = json.loads(done.stdout.splitlines()[-1])
    if found["new"] != rows:
        raise RuntimeError(f"{found['new']} of {rows} rows arrived")
    return float(found["peak_mb"]), rows, time.perf_counter() - begun


def write(file: Path, size_mb: int) -> int:
    """Write minutes of some symbols, all symbols of a minute together; return the rows."""
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    names = [symbol(i) for i in range(SYMBOLS)]
    rows = minute = 0
    with file.open("w") as sink:
        sink.write("vt_symbol,timestamp,open,high,low,close,volume\n")
        while sink.tell() < size_mb * MB:
            time_ = (start + dt.timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:00Z")
            price = 100 + minute % 997 / 100
            tail = f",{time_},{price:.2f},{price + 1:.2f},{price - 1:.2f},{price:.2f},1000\n"
            sink.write("".join(name + tail for name in names))
            rows += SYMBOLS
            minute += 1
    return rows


def child() -> None:
    """Ingest what standard input names, and print the rows that were new and the peak."""
    given = json.loads(sys.stdin.read())
    inbox = Path(given["inbox"])
    spill = inbox.parent / f"spill-{given['name']}"
    spill.mkdir()
    created = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    pool = open_pool(given["dsn"], name="bench", min_size=1, max_size=2)
    run = Run(
        open_lake(given["uri"], given["warehouse"]),
        Appends(pool, given["dsn"]),
        run_id=new_id(created),
        spec_sha256="0" * 64,
        created_at=created,
        progress=Silent(),
        spill=spill,
        memory_mb=LIMIT_MB,
    )
    table = TABLE.format(given["name"])
    spec = {"provider": "files", "path": f"{given['name']}.csv", "table": table}
    result = ingest(run, spec, allowed=[inbox])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"new": result.new, "peak_mb": peak}))
    pool.close()


if __name__ == "__main__":
    if sys.argv[1:] == ["child"]:
        child()
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else CSV_MB)
