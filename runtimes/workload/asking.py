"""What became of a change whose worker died: the provider is asked, nothing is done again."""

from __future__ import annotations

from ledger import outcomes, runs
from ledger.audit import Entry
from ledger.intents import Found, Resolver
from ledger.pool import Connection
from runtimes.changes import APPLY
from runtimes.context import Workshop
from runtimes.workload.runtime import provider_of, spec_of
from runtimes.workload.warden import STOP
from topology.errors import AlphaSwarmError


def resolver(workshop: Workshop) -> Resolver:
    """Return what closes the intents of processes that are gone, workloads' by their providers."""

    def resolve(connection: Connection, entry: Entry) -> Found | None:
        if entry.action not in (APPLY, STOP):
            return outcomes.resolve(connection, entry)
        try:
            return _asked(workshop, entry)
        except AlphaSwarmError:
            return None  # nobody can tell now, and an intent is closed once

    return resolve


def _asked(workshop: Workshop, entry: Entry) -> Found | None:
    run = runs.get(workshop.pool, entry.target.removeprefix("run:"))
    if run.kind != "workload":
        return None
    provider = provider_of(
        spec_of(workshop.pool, run.spec_sha256), workshop.topology, workshop.home
    )
    status = provider.status(run.run_id)
    made = status.phase != "absent" if entry.action == APPLY else not status.alive
    facts = {"provider": provider.name, "found": status.phase}
    return ("done", facts) if made else ("failed", {**facts, "code": "worker_lost"})
