"""A thousand small appends with upkeep, beside the first ten: `... bench_maintain [APPENDS]`.

A hundred rows each into a table of many runs, a pass every fifty. What an append and the plan of a
read cost at the end, in median seconds of twenty, beside what they cost around the tenth; and what
a pass costs. The bounds are the packaged ones, but for the 15 minutes that nobody waits here.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from lakehouse import catalog, query, scan
from lakehouse.lake import Lake, open_lake
from lakehouse.maintain.expiry import Needs
from lakehouse.maintain.policy import Policy
from lakehouse.maintain.table import maintain
from lakehouse.write import append_arrow
from ledger.appends import Appends
from tests.kit.lake import FILLS, SPEC, Silent, fills
from tests.kit.suite import suite
from topology.clock import SystemClock
from topology.stores import catalog_uri, postgres_dsn, warehouse

APPENDS, EVERY, ROWS = 1_000, 50, 100
EARLY, LATE = slice(1, 21), slice(-20, None)
LIMIT = 2.0
POLICY = dataclasses.replace(Policy(), grace=dt.timedelta(0), orphan=dt.timedelta(0))


def main(appends: int) -> None:
    """Print three figures."""
    with tempfile.TemporaryDirectory() as folder, suite(Path(folder) / "home") as place:
        log = Appends(place.pool, postgres_dsn(place.topology, place.home, "alphaswarm_app"))
        lake = open_lake(
            catalog_uri(place.topology, place.home, "alphaswarm_writer"),
            str(warehouse(place.topology, place.home)),
        )
        commits, plans, passes = [], [], []
        for number in range(appends):
            commits.append(append(lake, log, number))
            begun = time.perf_counter()
            scan.plan(catalog.load(lake, FILLS))
            plans.append(time.perf_counter() - begun)
            if number % EVERY == EVERY - 1:
                passes.append(tidy(lake, log, Path(folder)))
        assert query.read(lake, FILLS).num_rows == appends * ROWS
        figure("append after many", commits, appends)
        figure("plan after many", plans, appends)
        cost = sum(passes) / sum(commits)
        told = {"ours": round(sum(passes), 2), "peer": round(sum(commits), 2), "ratio": cost}
        print(json.dumps({"name": "upkeep: all passes over all appends", **told}), flush=True)
        catalog.close(lake)


def append(lake: Lake, log: Appends, number: int) -> float:
    """Append a hundred fills and return the seconds."""
    rows, key = fills(f"{number}", ROWS), f"{number}"
    begun = time.perf_counter()
    append_arrow("gold", FILLS, rows, key=key, run_id=key, spec_sha256=SPEC, log=log, lake=lake)
    return time.perf_counter() - begun


def tidy(lake: Lake, log: Appends, spill: Path) -> float:
    """Do a pass and return the seconds."""
    begun = time.perf_counter()
    maintain(
        lake,
        log,
        FILLS,
        policy=POLICY,
        needs=Needs(list, list),
        now=SystemClock().now(),
        spill=spill,
        progress=Silent(),
    )
    return time.perf_counter() - begun


def figure(name: str, seconds: list[float], appends: int) -> None:
    """Print the late median beside the early one."""
    late, early = statistics.median(seconds[LATE]), statistics.median(seconds[EARLY])
    told = {"ours": round(late, 4), "peer": round(early, 4), "ratio": round(late / early, 2)}
    gate = {"limit": LIMIT} if appends >= APPENDS else {}
    print(json.dumps({"name": f"upkeep: {name}", **told, **gate, "appends": appends}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else APPENDS)
