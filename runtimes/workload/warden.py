"""Looks after the workloads that live: ends their runs with them, and them with their runs.

It runs in the control group. What a halt covers is ended after its grace whether or not a store
answers (processes by their launchers); here the record follows, and the places that know no latch
are told. Every end that this orders has an intent first.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ledger import endings, halts, plans, runs, waiting
from ledger.endings import Ending
from ledger.intents import intending
from ledger.progress.events import Pending, pending
from runtimes.context import Workshop
from runtimes.specs.workload import WorkloadSpec
from runtimes.workload.base import Provider, Status
from runtimes.workload.process import ProcessProvider
from runtimes.workload.runtime import failed, provider_of, spec_of
from topology import launching
from topology.canonical import sha256
from topology.errors import AlphaSwarmError, FaultError, HaltedError, LatchUnreadableError
from topology.latch import Latch, Pressed, scopes_of

LOOK_S = 0.25
STOP = "stop_workload"
"""The action of the audit rows around an end that is ordered here."""
HANDS = 8
_ENDED = frozenset({"succeeded", "failed", "halted", "cancelled"})

_log = logging.getLogger(__name__)


class Warden:
    """One per control process; `look` never waits for a workload to end."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._specs: dict[str, WorkloadSpec] = {}
        self._seen: dict[str, tuple[bool | None, int]] = {}
        self._busy: dict[str, Future[None]] = {}
        self._hands = ThreadPoolExecutor(HANDS, thread_name_prefix="warden")

    def look(self) -> None:
        """Look once at every workload that has a run, and at every one that has none any more."""
        self._busy = {run: done for run, done in self._busy.items() if not done.done()}
        rows = plans.at_work(self._workshop.pool, "workload")
        known = {row["run_id"] for row in rows}
        for row in rows:
            self._begin(row["run_id"], row)
        for run_id, state in launching.states(self._workshop.home):
            if run_id not in known and state.process.alive:
                self._begin(run_id, None)
        self._seen = {run: seen for run, seen in self._seen.items() if run in known}
        self._forget(known)

    def close(self) -> None:
        """Begin nothing more."""
        self._hands.shutdown(wait=False, cancel_futures=True)

    def _forget(self, known: set[str]) -> None:
        """Remove what is left of processes that ended ``keep_s`` ago; containers are their own."""
        home, keep_s = self._workshop.home, self._workshop.topology.workload.keep_s
        before = self._workshop.clock.now().timestamp() - keep_s
        for run_id, state in launching.states(home):
            file = launching.state_file(home, run_id)
            if run_id not in known and not state.process.alive and file.stat().st_mtime < before:
                ProcessProvider(self._workshop.topology, home).forget(run_id)

    def _begin(self, run_id: str, row: Mapping[str, Any] | None) -> None:
        if run_id in self._busy:
            return
        work = (self._see, row) if row is not None else (self._stray, run_id)
        self._busy[run_id] = self._hands.submit(self._done, *work)

    def _done(self, work: Any, about: Any) -> None:
        try:
            work(about)
        except FaultError as error:
            _log.warning("a workload cannot be looked at now: %s", error)
        except Exception:  # noqa: BLE001  the others are looked at all the same
            _log.exception("a workload could not be looked at")

    def _see(self, row: Mapping[str, Any]) -> None:
        """Compare a workload with its run: one that may not be is ended, one that ended is told."""
        run_id, spec = row["run_id"], self._spec(row["spec_sha256"])
        provider = provider_of(spec, self._workshop.topology, self._workshop.home)
        status = provider.status(run_id)
        pressed = self._pressed(spec, run_id)
        if pressed is not None:
            self._stop(run_id, spec, provider, status, by="system")
            self._halted(run_id, pressed.scope, pressed.epoch)
        elif status.why == "halted":
            self._halted(run_id, status.scope, status.epoch)
        elif row["cancel_requested_by"] is not None:
            self._stop(run_id, spec, provider, status, by=row["cancel_requested_by"])
            self._end(run_id, endings.cancelled(run_id, row["cancel_requested_by"]))
        elif status.alive:
            self._tell(run_id, status)
        else:
            self._over(run_id, spec, provider, status)

    def _stray(self, run_id: str) -> None:
        """End a process whose run has ended: its worker died, or gave it up, in between."""
        run = runs.get(self._workshop.pool, run_id, "workload")
        if run.status not in _ENDED:
            return
        spec = self._spec(run.spec_sha256)
        provider = provider_of(spec, self._workshop.topology, self._workshop.home)
        self._stop(run_id, spec, provider, provider.status(run_id), by="system")

    def _stop(
        self, run_id: str, spec: WorkloadSpec, provider: Provider, status: Status, *, by: str
    ) -> None:
        if status.phase in ("absent", "exited"):
            return
        body = {"run_id": run_id, "provider": spec.provider}
        with intending(
            self._workshop.pool,
            actor=by,
            action=STOP,
            target=f"run:{run_id}",
            args_sha256=sha256(body),
            facts={"provider": spec.provider},
        ):
            provider.end(run_id, grace_s=spec.halt_grace_s)

    def _halted(self, run_id: str, scope: str, epoch: int) -> None:
        if epoch:
            halts.ack(self._workshop.pool, epoch, run_id)
        error = HaltedError(
            f"A halt of {scope!r} covers this workload.",
            hint="Ask for the reason; what was halted stays ended.",
            epoch=epoch,
            scope=scope,
        )
        extras = {"run_id": run_id, "epoch": epoch, "scope": scope}
        self._end(run_id, Ending("halted", "halted", error.message, extras, error=error.body()))

    def _over(self, run_id: str, spec: WorkloadSpec, provider: Provider, status: Status) -> None:
        """End the run of a workload that has ended by itself, or with the suite."""
        if status.phase == "lost":
            provider.kill(run_id)
        if status.why == "stopped":
            self._end(run_id, endings.cancelled(run_id, "whoever stopped the suite"))
        elif status.phase == "exited" and status.exit_code == 0:
            found = {"exit_code": 0, "restarts": status.restarts}
            run = runs.get(self._workshop.pool, run_id, "workload")
            shas = {"run_sha": run.run_sha, "result_sha": None}
            result = {"statistics": found, "result_tables": {}, **shas}
            extras = {"run_id": run_id, "result": result}
            message = f"The workload {spec.name} has ended with 0."
            self._end(run_id, Ending("succeeded", "done", message, extras, statistics=found))
        else:
            error: AlphaSwarmError = failed(spec, run_id, status, provider)
            extras = {"run_id": run_id, "error": error.body()}
            self._end(run_id, Ending("failed", "failed", error.message, extras, error=error.body()))

    def _tell(self, run_id: str, status: Status) -> None:
        """Say when it fell ill, recovered, or was started again."""
        now = (status.well, status.restarts)
        before = self._seen.get(run_id)
        self._seen[run_id] = now
        if before is None or before == now:
            return
        text = {True: "It is well.", False: "It is not well.", None: "It was started again."}
        extras = {"well": status.well, "restarts": status.restarts}
        frame = pending(self._workshop.clock, "health", text[status.well], extras)
        self._say(run_id, frame)

    def _say(self, run_id: str, frame: Pending) -> None:
        waiting.say(self._workshop.pool, "workload", run_id, [frame], bus=self._workshop.bus)

    def _end(self, run_id: str, ending: Ending) -> None:
        waiting.end(self._workshop.pool, "workload", run_id, ending, bus=self._workshop.bus)

    def _pressed(self, spec: WorkloadSpec, run_id: str) -> Pressed | None:
        try:
            with Latch.open(self._workshop.home.latch) as latch:
                return latch.pressed(scopes_of("workload", spec.name, run_id))
        except LatchUnreadableError:
            return None  # launchers end what is theirs; `sync_latch` makes the file anew

    def _spec(self, sha: str) -> WorkloadSpec:
        if sha not in self._specs:
            self._specs[sha] = spec_of(self._workshop.pool, sha)
        return self._specs[sha]
