"""From a claim to its end: every way in which a run can finish is written in this file.

An actor never raises. Whoever holds the fence writes the terminal row and frame, once; whoever lost
it writes nothing.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ledger import halts, runs, waiting
from ledger.progress.emitter import Emitter
from ledger.progress.events import Pending
from ledger.waiting import Wait
from runtimes.context import CancelledError, RunContext, Workshop
from runtimes.holding import Hold
from runtimes.lease import Lease
from topology.errors import (
    AlphaSwarmError,
    BadInputError,
    FaultError,
    HaltedError,
    LeaseLostError,
    StoreUnreachableError,
)

RETRY_S = 0.5
"""Pause before the end of a run is written again to a ledger that did not answer, in seconds."""

PASSING = ("postgres", "catalog")
"""Stores that restart within a lease, one PostgreSQL as a rule: the run is tried again."""

_log = logging.getLogger(__name__)


class ReplayDivergedError(FaultError):
    """The same run_sha gave another result: data, engine or machine are not what they claim."""

    code = "replay_diverged"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run found: JSON statistics, result table names by role, and the digest of it all."""

    statistics: Mapping[str, Any] = field(default_factory=dict)
    result_tables: Mapping[str, Any] = field(default_factory=dict)
    result_sha: str | None = None
    message: str = "Done."


class Runtime(ABC):
    """Does the work of one kind; an instance serves one attempt of one run."""

    kind: ClassVar[str]
    mutates: ClassVar[bool] = False

    @abstractmethod
    def work(self, context: RunContext) -> Outcome | Wait:
        """Do the whole work, checking in at each step; raise what the caller should read.

        A `Wait` lets go of the run without an end: for an approval, or for what it has started.
        """

    def salvage(self, context: RunContext) -> Outcome | None:
        """Return what a run may keep that was halted, or failed for what it was asked to do.

        Labelled ``statistics.partial`` unless it is whole; None keeps nothing.
        """
        del context
        return None


def refuse_divergence(context: RunContext, result_sha: str) -> None:
    """Raise `ReplayDivergedError` if an earlier run with this run_sha found something else."""
    run = context.run
    if run.run_sha is None:
        return
    earlier = runs.earlier_result(context.workshop.pool, run.kind, run.run_sha)
    if earlier is not None and earlier != result_sha:
        raise ReplayDivergedError(
            "The same spec on the same data gave another result than before.",
            hint="Run `alphaswarm doctor`; the run row names engine and machine.",
            run_sha=run.run_sha,
            earlier=earlier,
            found=result_sha,
        )


@dataclass(frozen=True, slots=True)
class Ending:
    """The terminal row and frame of a run, decided but not yet written."""

    status: str
    stage: str
    message: str
    extras: Mapping[str, Any] = field(default_factory=dict)
    outcome: Outcome | None = None
    error: Mapping[str, Any] | None = None


Left = Ending | Wait | None
"""How a worker leaves a run: ended, waiting, or to whoever holds it next."""


def perform(workshop: Workshop, kind: str, run_id: str, make: Callable[[], Runtime]) -> None:
    """Claim a run, do it, and write its end; a run that is not ours is left alone."""
    try:
        claim = runs.claim(
            workshop.pool, kind, run_id, worker=workshop.worker, lease_s=workshop.lease_s
        )
    except StoreUnreachableError as error:
        _log.warning("run %s is not claimed, it will be sent again: %s", run_id, error)
        return
    if claim is None:
        return
    emitter = Emitter(workshop.pool, workshop.bus, claim, workshop.clock)
    lease = Lease(workshop.pool, claim, clock=workshop.clock, lease_s=workshop.lease_s)
    held = Hold(workshop.home, kind=kind, name=claim.run.name, run_id=run_id, attempt=claim.attempt)
    try:
        with held, lease:
            context = RunContext(workshop, claim, emitter=emitter, lease=lease, held=held)
            try:
                ending = _ending(make, context)
            finally:
                context.close()
            held.let_go()  # the work has stopped; writing it down may take as long as it must
            if ending is not None:
                _close(workshop, claim, emitter, lease, ending)
            elif workshop.stopping.is_set() and not lease.lost:
                _release(workshop, claim, emitter)
    finally:
        emitter.close()


def _release(workshop: Workshop, claim: runs.Claim, emitter: Emitter) -> None:
    """Hand the run back before the process ends: the next worker need not wait for the lease."""
    emitter.flush()
    try:
        runs.release(workshop.pool, claim)
    except StoreUnreachableError as error:
        _log.warning("run %s waits for the end of its lease: %s", claim.run.run_id, error)


def _ending(make: Callable[[], Runtime], context: RunContext) -> Left:
    """Run the work and decide how it ended; None leaves the run to whoever holds it next."""
    run_id = context.run.run_id
    runtime: Runtime | None = None
    try:
        context.emit("start", f"Attempt {context.claim.attempt}.", attempt=context.claim.attempt)
        runtime = context.attend(make)
        context.mutates = runtime.mutates
        context.checkpoint()
        found = runtime.work(context)
        return found if isinstance(found, Wait) else _done(context, found)
    except HaltedError as error:
        return _halted(runtime, context, error)
    except CancelledError as error:
        return Ending("cancelled", "cancelled", error.message, error=error.body())
    except LeaseLostError:
        _log.warning("run %s is left to another worker", run_id)
        return None
    except StoreUnreachableError as error:
        if error.facts.get("store") in PASSING:
            _log.warning("run %s is left to a later attempt: %s", run_id, error)
            return None
        return _failed(error, run_id)
    except BadInputError as error:
        return _failed(error, run_id, kept=_salvaged(runtime, context))
    except AlphaSwarmError as error:
        return _failed(error, run_id)
    except Exception as error:  # noqa: BLE001  whatever it is, the run has an end
        _log.exception("run %s failed", run_id)
        return _failed(_internal(error), run_id)


def _done(context: RunContext, outcome: Outcome) -> Ending:
    result = {
        "statistics": dict(outcome.statistics),
        "result_tables": dict(outcome.result_tables),
        "run_sha": context.run.run_sha,
        "result_sha": outcome.result_sha,
    }
    extras = {"run_id": context.run.run_id, "result": result}
    return Ending("succeeded", "done", outcome.message, extras=extras, outcome=outcome)


def _halted(runtime: Runtime | None, context: RunContext, error: HaltedError) -> Ending:
    """Acknowledge first: the work has stopped. Closing the record afterwards is no new work."""
    epoch, scope = error.facts.get("epoch", 0), error.facts.get("scope", "all")
    context.held.let_go()
    try:
        if epoch:
            halts.ack(context.workshop.pool, epoch, context.run.run_id)
    except Exception:  # noqa: BLE001  a halt ends the run, acknowledged or not
        _log.exception("the halt of run %s could not be acknowledged", context.run.run_id)
    kept = _salvaged(runtime, context)
    extras = {"run_id": context.run.run_id, "epoch": epoch, "scope": scope, **_shown(kept)}
    return Ending(
        "halted", "halted", error.message, extras=extras, outcome=kept, error=error.body()
    )


def _salvaged(runtime: Runtime | None, context: RunContext) -> Outcome | None:
    """Return what the run may keep; it ends as it does whether that worked or not."""
    try:
        return runtime.salvage(context) if runtime is not None else None
    except Exception:  # noqa: BLE001  the run ends, kept or not
        _log.exception("what run %s had could not be kept", context.run.run_id)
        return None


def _shown(kept: Outcome | None) -> dict[str, Any]:
    """Return the extras of a frame that tell what was kept."""
    if kept is None:
        return {}
    told = {"statistics": dict(kept.statistics), "result_tables": dict(kept.result_tables)}
    return {"result": told}


def _failed(error: AlphaSwarmError, run_id: str, *, kept: Outcome | None = None) -> Ending:
    if isinstance(error, FaultError):
        _log.error("run %s failed: %s", run_id, error, exc_info=error)
    body = error.body()
    extras = {"run_id": run_id, "error": body, **_shown(kept)}
    return Ending("failed", "failed", error.message, extras=extras, outcome=kept, error=body)


def _internal(error: Exception) -> FaultError:
    """Return what a user may read of a bug: its kind, never its text, path or trace."""
    return FaultError(
        f"The run met an error of ours ({type(error).__name__}).",
        hint="The worker's log below $ALPHASWARM_HOME/logs holds the trace.",
    )


def _close(
    workshop: Workshop, claim: runs.Claim, emitter: Emitter, lease: Lease, left: Ending | Wait
) -> None:
    """Write the end, or why the run waits, in one transaction; keep trying while it is ours."""
    frames: list[Pending] | None = None
    while not lease.lost:
        try:
            frames = emitter.drain() if frames is None else frames
            written = _wrote(workshop, claim, frames, left)
        except StoreUnreachableError as error:
            _log.warning("the end of run %s waits: %s", claim.run.run_id, error)
            workshop.stopping.wait(RETRY_S)
        else:
            if not written:
                _log.warning("run %s ended elsewhere: our end is discarded", claim.run.run_id)
            return


def _wrote(
    workshop: Workshop, claim: runs.Claim, frames: list[Pending], left: Ending | Wait
) -> bool:
    if isinstance(left, Wait):
        return waiting.begin(
            workshop.pool, claim, left, frames=frames, clock=workshop.clock, bus=workshop.bus
        )
    outcome = left.outcome or Outcome()
    frame = runs.finish(
        workshop.pool,
        claim,
        status=left.status,
        frames=frames,
        stage=left.stage,
        message=left.message,
        extras=dict(left.extras),
        statistics=dict(outcome.statistics) if left.outcome else None,
        result_tables=dict(outcome.result_tables) if left.outcome else None,
        result_sha=outcome.result_sha,
        error=dict(left.error) if left.error else None,
        bus=workshop.bus,
    )
    return frame is not None
