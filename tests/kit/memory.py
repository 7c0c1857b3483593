"""Ingests in a process of their own, one after the other, and its peak of memory after each."""

from __future__ import annotations

import datetime as dt
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from lakehouse.ingest import ingest
from lakehouse.job import Run
from lakehouse.lake import Lake, open_lake
from ledger.appends import Appends
from ledger.pool import open_pool
from tests.kit.lake import NOW, SPEC, Silent
from topology.ids import new_id


@dataclass(frozen=True, slots=True)
class Measured:
    """Rows that were new, seconds, and the highest resident size of the process so far, in MB."""

    new: int
    took_s: float
    peak_mb: float


def measured(
    lake: Lake, dsn: str, inbox: Path, files: Sequence[str], *, memory_mb: int
) -> list[Measured]:
    """Ingest minutes from ``files`` of the inbox, each into a table of its own.

    The process runs as a worker does: with the allocators that it has.
    """
    given = {
        "uri": lake.uri,
        "warehouse": lake.warehouse,
        "dsn": dsn,
        "inbox": str(inbox),
        "files": list(files),
        "memory_mb": memory_mb,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.kit.memory"],
        input=json.dumps(given),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    return [Measured(**json.loads(line)) for line in done.stdout.splitlines()]


def _main() -> None:
    given = json.loads(sys.stdin.read())
    inbox = Path(given["inbox"])
    spill = inbox.parent / "spill"
    spill.mkdir(exist_ok=True)
    lake = open_lake(given["uri"], given["warehouse"])
    with closing(open_pool(given["dsn"], name="memory", min_size=1, max_size=2)) as pool:
        for number, file in enumerate(given["files"]):
            run = Run(
                lake,
                Appends(pool, given["dsn"]),
                run_id=new_id(NOW + dt.timedelta(seconds=number)),
                spec_sha256=SPEC,
                created_at=NOW,
                progress=Silent(),
                spill=spill,
                memory_mb=given["memory_mb"],
            )
            table = f"alphaswarm_silver_memory{number}.bars_1m"
            begun = time.perf_counter()
            result = ingest(
                run, {"provider": "files", "path": file, "table": table}, allowed=[inbox]
            )
            took = time.perf_counter() - begun
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(json.dumps(asdict(Measured(result.new, took, peak))), flush=True)


if __name__ == "__main__":
    _main()
