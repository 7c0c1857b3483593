"""Audit before execute: an intent row, committed, then the effect, then its outcome.

`intending` is the one way to do it. Where the process dies between intent and outcome the intent
stays open, and `reconcile` closes it: it asks the record what became of the effect, and where the
record cannot tell the outcome is ``unknown``. Nothing is ever done again.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from ledger import audit
from ledger.audit import Entry
from ledger.pool import Connection, Pool, transaction
from topology.errors import AlphaSwarmError, FaultError
from topology.processes import Process

FAR_S = 3600.0
"""How long an intent of another machine stays open before it is called unknown."""
_OPEN = """
SELECT * FROM audit i WHERE decision = 'intended' AND facts ? 'process' AND seq > %s
AND NOT EXISTS (SELECT FROM audit r WHERE r.facts ? 'intent'
    AND (r.facts ->> 'intent')::bigint = i.seq)
ORDER BY seq LIMIT 500
"""

_log = logging.getLogger(__name__)

Found = tuple[str, Mapping[str, str | int]]
"""A decision, and facts that say how it is known."""
Resolver = Callable[[Connection, Entry], Found | None]
"""Ask the record what became of an intent; None: it cannot tell."""


@contextmanager
def intending(
    pool: Pool,
    *,
    actor: str,
    action: str,
    target: str,
    args_sha256: str,
    facts: Mapping[str, str | int],
) -> Iterator[None]:
    """Write the intent before the block and its outcome after it.

    An intent that cannot be written raises, and the block never runs. A refusal is ``failed`` with
    its code; an effect that may or may not have happened is ``unknown``: a fault of ours, or an
    error whose facts say so (``outcome``).
    """
    row = {"actor": actor, "action": action, "target": target, "args_sha256": args_sha256}
    seq = audit.append(pool, **row, decision="intended", facts={**facts, "process": here()})

    def note(decision: str, **more: str) -> None:
        audit.append(pool, **row, decision=decision, facts={**facts, **more, "intent": seq})

    try:
        yield
    except FaultError as error:
        note("unknown", code=error.wire_code)
        raise
    except AlphaSwarmError as error:
        known = error.facts.get("outcome") != "unknown"
        note("failed" if known else "unknown", code=error.wire_code)
        raise
    except BaseException:
        note("unknown", code="internal")
        raise
    note("done")


def here() -> str:
    """Return what names this process on every machine: node, pid and start time."""
    process = Process.of(os.getpid())
    return f"{platform.node()}:{os.getpid()}:{process.started if process else ''}"


@dataclass
class Reconciler:
    """Closes the intents of processes that are gone; ``resolve`` says what became of one.

    One per control process: it remembers up to where all intents are closed.
    """

    pool: Pool
    resolve: Resolver
    since: int = 0

    def run(self, now: dt.datetime) -> list[int]:
        """Look once; return the ``seq`` of the intents that were closed."""
        with transaction(self.pool) as connection:
            entries = [Entry(**row) for row in connection.execute(_OPEN, (self.since,))]
        closed = [entry.seq for entry in entries if self._close(entry, now)]
        waiting = [entry.seq for entry in entries if entry.seq not in closed]
        if entries:
            self.since = (min(waiting) if waiting else entries[-1].seq + 1) - 1
        return closed

    def _close(self, entry: Entry, now: dt.datetime) -> bool:
        if not _over(entry, now):
            return False
        with transaction(self.pool) as connection:
            # Two control processes may look at once: the lock lets one of them write.
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('intents', 0))")
            if _closed(connection, entry.seq):
                return True
            decision, facts = self.resolve(connection, entry) or (
                "unknown",
                {"code": "outcome_unknown"},
            )
            kept = {key: value for key, value in entry.facts.items() if key != "process"}
            audit.write(
                connection,
                actor=entry.actor,
                action=entry.action,
                target=entry.target,
                args_sha256=entry.args_sha256,
                decision=decision,
                facts={**kept, **facts, "intent": entry.seq, "by": "reconciler"},
            )
        _log.warning("intent %s (%s %s) is %s", entry.seq, entry.action, entry.target, decision)
        return True


def _closed(connection: Connection, seq: int) -> bool:
    text = "SELECT FROM audit WHERE facts ? 'intent' AND (facts ->> 'intent')::bigint = %s"
    return connection.execute(text, (seq,)).fetchone() is not None


def _over(entry: Entry, now: dt.datetime) -> bool:
    """Tell whether whoever intended it can no longer write the outcome itself."""
    node, _, rest = str(entry.facts["process"]).rpartition(":")[0].rpartition(":")
    started = str(entry.facts["process"]).rpartition(":")[2]
    if node != platform.node() or not rest.isdigit():
        return now - entry.at > dt.timedelta(seconds=FAR_S)
    process = Process.of(int(rest))
    return process is None or process.started != started
