"""`python -m runtimes.drill`: press a halt on a probe run of its own, and measure what happens.

The whole way is the real one: a run of kind ``data`` that waits on the workers, a halt of exactly
that run through latch, audit and record, and its resume at the end, the only one that no second
factor asks for: it lifts what this very program has pressed. Prints JSON, times in milliseconds
after the press: ``visible_ms`` in a mapping of the latch that is read each half millisecond,
``acknowledged_ms`` by the worker, ``ended_ms`` in the ledger.
"""

from __future__ import annotations

import getpass
import json
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from ledger import runs
from ledger.halts import Halts
from ledger.pool import Pool, open_pool, transaction
from ledger.progress.bus import Bus
from runtimes import dispatch
from runtimes.specs.probe import ProbeSpec
from topology import stores
from topology.clock import SystemClock
from topology.errors import AlphaSwarmError, FaultError
from topology.home import Home
from topology.latch import Latch
from topology.principal import Principal
from topology.services import load

ACR = "urn:alphaswarm:acr:os"
REASON = "halt drill"
START_S, STOP_S = 20.0, 10.0
_LOOK_S, _POLL_S = 0.0005, 0.01


@dataclass
class Drill:
    """One drill on the workers of a home."""

    pool: Pool
    home: Home
    bus: Bus
    who: dict[str, Any] = field(
        default_factory=lambda: {
            "actor": getpass.getuser(),
            "acr": ACR,
            "auth_time": int(time.time()),
        }
    )

    def run(self) -> dict[str, Any]:
        """Do it all; a probe that does not start or stop in time raises `FaultError`."""
        clock = SystemClock()
        principal = Principal(subject=self.who["actor"], client_id="drill")
        spec = ProbeSpec(name="halt-drill")
        run_id = dispatch.submit(
            self.pool, spec, principal=principal, queue="interactive", clock=clock
        ).run_id
        self._until(run_id, ("running",), START_S, "has not started")
        time.sleep(0.1)  # it is in its loop
        switch, scope = Halts(self.pool, self.home, self.bus), f"run:{run_id}"
        with _Seen(self.home) as seen:
            pressed = time.time()
            epoch = switch.press(scope, reason=REASON, **self.who)
        try:
            ended = self._until(run_id, ("halted",), STOP_S, "has not stopped")
        finally:
            switch.lift(scope, epoch=epoch, reason=f"{REASON} over", **self.who)
        return {
            "run_id": run_id,
            "epoch": epoch,
            "visible_ms": _ms(seen.at - pressed),
            "acknowledged_ms": _ms(self._acknowledged(run_id) - pressed),
            "ended_ms": _ms(ended.finished_at.timestamp() - pressed) if ended.finished_at else None,
        }

    def _until(self, run_id: str, wanted: tuple[str, ...], within_s: float, what: str) -> runs.Run:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            run = runs.get(self.pool, run_id)
            if run.status in wanted:
                return run
            time.sleep(_POLL_S)
        raise FaultError(
            f"The probe run {run_id} {what} within {within_s:g} s.",
            hint="Are the workers up? `alphaswarm status`; is something halted? `halt status`.",
            run_id=run_id,
        )

    def _acknowledged(self, run_id: str) -> float:
        with transaction(self.pool) as connection:
            row = connection.execute(
                "SELECT at FROM halt_acks WHERE run_id = %s", (run_id,)
            ).fetchone()
        return float(row["at"].timestamp()) if row else float("nan")


class _Seen:
    """Notes when the latch moves, from a mapping of its own."""

    def __init__(self, home: Home) -> None:
        self.at = float("nan")
        self._latch = Latch.open(home.latch)
        self._before = self._latch.changes()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Seen:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(timeout=1.0)
        self._latch.close()

    def _watch(self) -> None:
        deadline = time.monotonic() + STOP_S
        while self._latch.changes() == self._before and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
        self.at = time.time()


def main() -> int:
    """Run the drill of this home; 0 done, 5 where it could not be."""
    topology, home = load(), Home.from_environment()
    address = stores.valkey_address(topology, home)
    bus = Bus(socket=address.socket, url=address.url, password=address.password() or "")
    try:
        pool = open_pool(stores.postgres_dsn(topology, home, "alphaswarm_app"), name="drill")
        try:
            found = Drill(pool, home, bus).run()
        finally:
            pool.close(timeout=2.0)
    except AlphaSwarmError as error:
        sys.stderr.write(json.dumps(error.body()) + "\n")
        return 5
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


if __name__ == "__main__":
    sys.exit(main())
