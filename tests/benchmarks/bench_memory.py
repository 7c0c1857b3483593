"""The memory of an ingest larger than it: `python -m tests.benchmarks memory`, only if named.

A CSV of 2 GB is ingested by a process of its own under a limit of 512 MB, for minutes. Its peak
resident size is measured, beside that of the same process after a CSV of 20 MB: what libraries,
threads and a small ingest take anyway. `... bench_memory MB` makes the file smaller.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path

from tests.benchmarks.market import stand, symbol
from tests.kit.memory import measured

CSV_MB, SMALL_MB, LIMIT_MB = 2_048, 20, 512
SYMBOLS = 100
PEAK = 1.0
"""Most of the limit that the ingest may take besides what the small one takes anyway."""
MB = 1 << 20


def main(csv_mb: int) -> None:
    """Print the figure."""
    with stand() as place:
        inbox = place.folder / "inbox"
        inbox.mkdir()
        rows = [
            write(inbox / name, size) for name, size in (("a.csv", SMALL_MB), ("b.csv", csv_mb))
        ]
        small, large = measured(
            place.lake, place.log_dsn, inbox, ["a.csv", "b.csv"], memory_mb=LIMIT_MB
        )
        if [small.new, large.new] != rows:
            raise RuntimeError(f"{small.new} and {large.new} of {rows} rows arrived")
        grown = large.peak_mb - small.peak_mb
        told = {"ours": round(grown), "peer": LIMIT_MB, "ratio": round(grown / LIMIT_MB, 3)}
        more = {
            "peak_mb": round(large.peak_mb),
            "small_mb": round(small.peak_mb),
            "csv_mb": csv_mb,
            "rows": large.new,
            "rows_s": round(large.new / large.took_s),
        }
        line = {"name": "memory: growth of an ingest, MB / its limit", **told, "limit": PEAK}
        print(json.dumps({**line, **more}), flush=True)


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


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else CSV_MB)
