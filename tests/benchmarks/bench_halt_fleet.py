"""Press to visible, to stopped, to killed: four worker processes under load, each store gone once.

Eight runs of 20 ms steps fill four processes of two threads. ``visible`` is when one of four other
processes, which look each millisecond, sees the latch move; ``stopped`` is when a worker has let go
of its run (its file below ``run/`` is gone: the work has stopped, whatever the ledger does). No
server runs, so identity is down throughout; then Valkey is killed, then PostgreSQL, where the halt
is the break-glass one. ``killed`` is a run stuck in native code that keeps the interpreter's lock,
with the packaged limits, under each outage too. Seconds; the bars are those of K14.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np

from ledger.halts import Halts
from tests.kit.suite import Suite, suite, working
from topology.engines import supervisor
from topology.latch import Latch
from topology.processes import Process

PROCESSES, RUNS, ROUNDS = 4, 8, 10
VISIBLE_S, STOPPED_S, KILLED_S = 0.05, 0.25, 5.0
WHO: dict[str, Any] = {"actor": "bench", "acr": "", "auth_time": 0}
_SPAWN = multiprocessing.get_context("spawn")


def watch(path: Path, seen: Queue[float]) -> None:
    """Note each time that the latch moves, until it stands at the end of its life."""
    with Latch.open(path) as latch:
        before = latch.changes()
        seen.put(0.0)
        while latch.changes() >= 0 and os.getppid() != 1:
            if (now := latch.changes()) != before:
                seen.put(time.time())
                before = now
            time.sleep(0.001)


@contextmanager
def watching(place: Suite) -> Iterator[Queue[float]]:
    """Let four processes look at the latch while the block runs."""
    seen: Queue[float] = _SPAWN.Queue()
    watchers = [
        _SPAWN.Process(target=watch, args=(place.home.latch, seen), daemon=True)
        for _ in range(PROCESSES)
    ]
    for one in watchers:
        one.start()
    for _ in watchers:
        seen.get(timeout=60)
    try:
        yield seen
    finally:
        for one in watchers:
            one.terminate()
            one.join()


def fill(place: Suite, name: str) -> list[Path]:
    """Fill the workers with runs and return the file of each once all are at work."""
    ids = [place.submit(seconds=300, name=name).run_id for _ in range(RUNS)]
    files = [place.home.run / f"held-{run_id}.json" for run_id in ids]
    place.until(lambda: all(file.exists() for file in files), within_s=60, what="runs at work")
    time.sleep(0.3)
    return files


def emptied(files: list[Path]) -> list[float]:
    """Return when each file was gone, looking each millisecond for 20 s."""
    gone: dict[Path, float] = {}
    deadline = time.monotonic() + 20
    while len(gone) < len(files) and time.monotonic() < deadline:
        for file in files:
            if file not in gone and not file.exists():
                gone[file] = time.time()
        time.sleep(0.001)
    return [gone.get(file, float("inf")) for file in files]


def rounds(place: Suite, seen: Queue[float], label: str, count: int) -> tuple[list[float], ...]:
    """Press ``count`` times by the record's way; return seconds to visible and to stopped."""
    switch, visible, stopped = Halts(place.pool, place.home), list[float](), list[float]()
    for number in range(count):
        name = f"{label}-{number}"
        scope, files = f"spec:analysis/{name}", fill(place, name)
        found = pressed(switch, scope, files, seen)
        visible, stopped = visible + found[0], stopped + found[1]
    return visible, stopped


def pressed(
    switch: Halts, scope: str, files: list[Path], seen: Queue[float]
) -> tuple[list[float], list[float]]:
    """Press and lift; return seconds to visible and to stopped, the audit of the press included."""
    drained(seen)
    epochs = list[int]()
    press = threading.Thread(
        target=lambda: epochs.append(switch.press(scope, reason="bench", **WHO))
    )
    began = time.time()
    press.start()
    stopped = [at - began for at in emptied(files)]
    press.join()
    visible = [at - began for at in drained(seen)[:PROCESSES]]
    switch.lift(scope, epoch=epochs[0], reason="bench", **WHO)
    return visible, stopped


def without(place: Suite, store: str) -> None:
    """Kill a store."""
    engine = getattr(supervisor.status(place.home, place.topology), store)
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGKILL if store == "valkey" else signal.SIGQUIT)


def broken_glass(place: Suite, name: str) -> None:
    """Press by file permission, which needs no store."""
    subprocess.run(
        [sys.executable, "-m", "topology.latch", "halt", f"spec:analysis/{name}", "--reason", "x"],
        env=dict(place.environ),
        stdout=subprocess.DEVNULL,
        check=True,
    )


def dark(place: Suite, seen: Queue[float]) -> tuple[list[float], ...]:
    """Press by file permission with PostgreSQL gone."""
    files = fill(place, "dark")
    without(place, "postgres")
    drained(seen)
    press = threading.Thread(target=broken_glass, args=(place, "dark"))
    press.start()
    stopped = emptied(files)
    press.join()
    visible = drained(seen)[:PROCESSES]
    began = min(visible)  # the start of the program is not the latch's
    supervisor.up(place.home, place.topology)
    return [one - began for one in visible], [one - began for one in stopped]


def killed(place: Suite, outage: str | None) -> float:
    """Return the seconds from a press to the end of a process that hears nothing."""
    name = f"stuck-{outage or 'up'}"
    run = place.submit(seconds=300, name=name, stuck_at=5, stuck_s=60)
    place.until(lambda: place.run(run.run_id).status == "running", within_s=60, what="it runs")
    time.sleep(0.5)
    worker = Process.of(int((place.run(run.run_id).worker or "").rpartition(":")[2]))
    assert worker is not None
    if outage is not None:
        without(place, outage)
    began = time.time()
    if outage == "postgres":
        broken_glass(place, name)
    else:
        Halts(place.pool, place.home).press(f"spec:analysis/{name}", reason="bench", **WHO)
    place.until(lambda: not worker.alive, within_s=30, what="it is killed")
    took = time.time() - began
    if outage is not None:
        supervisor.up(place.home, place.topology)
    return took


def drained(seen: Queue[float]) -> list[float]:
    """Return what the watchers have said by now."""
    time.sleep(0.2)
    found = []
    while not seen.empty():
        found.append(seen.get())
    return found


def figure(name: str, samples: list[float], limit: float) -> None:
    """Print the p99 of samples against its bar."""
    p99 = float(np.percentile(samples, 99))
    body = {
        "name": name,
        "ours": round(p99, 4),
        "peer": limit,
        "ratio": round(p99 / limit, 3),
        "ratio_is": "p99 / bar",
        "limit": 1,
        "p50": round(float(np.median(samples)), 4),
        "worst": round(max(samples), 4),
        "samples": len(samples),
    }
    print(json.dumps(body), flush=True)


def main() -> None:
    """Print how fast a halt is, store by store."""
    with (
        tempfile.TemporaryDirectory() as folder,
        suite(Path(folder), processes_each=PROCESSES) as place,
        working(place),
        watching(place) as seen,
    ):
        found = {"all stores up": rounds(place, seen, "up", ROUNDS)}
        files = fill(place, "busless")
        without(place, "valkey")
        switch = Halts(place.pool, place.home)
        found["Valkey gone"] = pressed(switch, "spec:analysis/busless", files, seen)
        supervisor.up(place.home, place.topology)
        found["PostgreSQL gone"] = dark(place, seen)
        for label, (visible, stopped) in found.items():
            figure(f"halt visible to 4 processes, {label} (p99, s)", visible, VISIBLE_S)
            figure(f"8 runs of 4 processes stopped, {label} (p99, s)", stopped, STOPPED_S)
        took = [killed(place, outage) for outage in (None, "valkey", "postgres")]
        figure("a stuck worker killed after the press, each store gone once (s)", took, KILLED_S)


if __name__ == "__main__":
    main()
