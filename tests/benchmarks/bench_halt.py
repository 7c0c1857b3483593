"""How long a running backtest takes to stop after the latch is pressed, by the ledger's clock.

A real worker process simulates hourly bars; the latch is pressed at a random moment of the run. The
first figure is the acknowledgement (the work has stopped), the second the terminal row with its
partial result appended. The peer is a bare poll: a thread that reads the same latch each
millisecond and notes the time. Seconds, p50 and the worst of all.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import threading
import time
from pathlib import Path

from ledger.pool import transaction
from runtimes import dispatch
from runtimes.specs.base import parse
from runtimes.worker import open_workshop
from tests.kit.market import put, walks
from tests.kit.suite import Suite, suite, working
from topology.clock import SystemClock
from topology.latch import Latch
from topology.principal import SYSTEM

TABLE = "alphaswarm_silver_bench.bars_1d"
SYMBOLS = [f"S{index:02d}.TEST" for index in range(20)]
BARS, ROUNDS = 20_000, 12
LIMIT_S = 0.25
SPEC = {
    "kind": "backtest",
    "name": "halted",
    "universe": {"symbols": SYMBOLS},
    "data": {"table": TABLE, "start": "2001-01-01", "end": "2090-12-31", "adjust": "none"},
    "strategy": {"name": "momentum", "params": {"lookback": 60, "rebalance": "daily"}},
}


def submit(place: Suite) -> str:
    """Submit the backtest and return its run id."""
    return dispatch.submit(
        place.pool,
        parse("backtest", SPEC),
        principal=SYSTEM,
        queue="interactive",
        clock=SystemClock(),
    ).run_id


def duration(place: Suite) -> float:
    """Return the seconds that an undisturbed run takes, the worker's first ones apart."""
    took = 0.0
    for _ in range(2):
        run = place.ended(submit(place), within_s=120)
        assert run.status == "succeeded", run.error
        assert run.finished_at is not None
        assert run.started_at is not None
        took = (run.finished_at - run.started_at).total_seconds()
    return took


def halted(place: Suite, *, after_s: float) -> tuple[float, float, float] | None:
    """Return seconds to a poller, to the acknowledgement, to the end; None if it was too late."""
    run_id = submit(place)
    place.until(lambda: place.run(run_id).status == "running", within_s=30, what="running")
    time.sleep(after_s)
    scope, seen = f"run:{run_id}", [0.0]
    with Latch.open(place.home.latch) as latch:
        watcher = threading.Thread(target=watch, args=(latch, latch.changes(), seen))
        watcher.start()
        pressed = time.time()
        epoch = latch.press(scope)
        watcher.join()
        run = place.ended(run_id, within_s=30)
        latch.lift(scope, epoch=epoch)
    with transaction(place.pool) as connection:
        ack = connection.execute("SELECT at FROM halt_acks WHERE run_id = %s", (run_id,)).fetchone()
    if run.status != "halted" or ack is None or run.finished_at is None:
        return None
    return (
        seen[0] - pressed,
        ack["at"].timestamp() - pressed,
        run.finished_at.timestamp() - pressed,
    )


def watch(latch: Latch, before: int, seen: list[float]) -> None:
    """Note when the latch's change counter moves."""
    while latch.changes() == before:
        time.sleep(0.001)
    seen[0] = time.time()


def main() -> None:
    """Print how long a halt takes."""
    with tempfile.TemporaryDirectory() as folder, suite(Path(folder)) as place:
        workshop = open_workshop(place.topology, place.home)
        put(workshop, TABLE, walks(SYMBOLS, bars=BARS))
        workshop.pool.close()
        with working(place, "runtimes.groups"):
            whole = duration(place)
            steps = [whole * (n + 0.5) / ROUNDS for n in range(ROUNDS)]
            found = [one for s in steps if (one := halted(place, after_s=s * 0.7)) is not None]
    polls, acks, ends = (list(column) for column in zip(*found, strict=True))
    figure = {
        "name": "halt of a running backtest: press to stopped / bare poll (p50, s)",
        "ours": round(statistics.median(acks), 4),
        "peer": round(statistics.median(polls), 4),
        "ratio": round(max(acks) / LIMIT_S, 3),
        "ratio_is": f"worst / {LIMIT_S} s",
        "limit": 1,
        "ours_worst": round(max(acks), 4),
        "ended_p50": round(statistics.median(ends), 4),
        "ended_worst": round(max(ends), 4),
        "run_s": round(whole, 2),
        "halts": len(found),
    }
    print(json.dumps(figure))


if __name__ == "__main__":
    main()
