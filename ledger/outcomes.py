"""What the record itself can say about an intent whose outcome nobody wrote."""

from __future__ import annotations

from collections.abc import Mapping

from ledger.audit import Entry
from ledger.intents import Found, Resolver
from ledger.kinds import statement
from ledger.pool import Connection
from topology.kinds import KINDS

_SUBMITTED = """
SELECT r.run_id FROM {runs} r JOIN {specs} v ON v.sha256 = r.spec_sha256
WHERE v.name = %(name)s AND r.requested_by = %(by)s AND r.created_at >= %(at)s
ORDER BY r.run_id LIMIT 1
"""
_CANCELLED = """
SELECT run_id FROM {runs} WHERE run_id = %(run_id)s
AND (cancel_requested_by IS NOT NULL OR status = 'cancelled')
"""
_HALTED = """
SELECT epoch FROM halts WHERE scope = %(scope)s AND action = %(action)s AND at >= %(at)s
ORDER BY epoch LIMIT 1
"""
_APPROVED = """
SELECT plan_sha256 FROM change_approvals WHERE run_id = %s AND at >= %s AND jti = %s
"""


def submitted(connection: Connection, entry: Entry) -> Found | None:
    """A submission is done where a run of that spec, by that person, began after the intent.

    It is one transaction: where there is no such run it never happened.
    """
    kind, _, name = entry.target.removeprefix("spec:").partition("/")
    if kind not in KINDS:
        return None
    given = {"name": name, "by": str(entry.facts.get("on_behalf_of", entry.actor)), "at": entry.at}
    row = connection.execute(statement(_SUBMITTED, kind), given).fetchone()
    return ("done", {"run_id": row["run_id"]}) if row else _never()


def cancelled(connection: Connection, entry: Entry) -> Found | None:
    """A cancellation is done where the run carries it."""
    run_id = entry.target.removeprefix("run:")
    for kind in KINDS:
        if connection.execute(statement(_CANCELLED, kind), {"run_id": run_id}).fetchone():
            return "done", {"run_id": run_id}
    return _never()


def halted(connection: Connection, entry: Entry) -> Found | None:
    """A halt or resume is done where the record holds it.

    A halt may stand in the latch alone, which the record cannot see: then nobody can tell.
    """
    given = {"scope": entry.target, "action": entry.action, "at": entry.at}
    row = connection.execute(_HALTED, given).fetchone()
    if row is not None:
        return "done", {"epoch": row["epoch"]}
    return None if entry.action == "halt" else _never()


def approved(connection: Connection, entry: Entry) -> Found | None:
    """An approval is done where the record holds it: it is one transaction."""
    given = (entry.target.removeprefix("run:"), entry.at, str(entry.facts.get("jti", "")))
    row = connection.execute(_APPROVED, given).fetchone()
    return ("done", {"plan_sha256": row["plan_sha256"]}) if row else _never()


def _never() -> Found:
    return "failed", {"code": "worker_lost"}


RESOLVERS: Mapping[str, Resolver] = {
    "approve_change": approved,
    "cancel_run": cancelled,
    "halt": halted,
    "resume": halted,
}


def resolve(connection: Connection, entry: Entry) -> Found | None:
    """Ask by action; every other action on a spec is a submission."""
    resolver = RESOLVERS.get(entry.action)
    if resolver is None and entry.target.startswith("spec:"):
        resolver = submitted
    return resolver(connection, entry) if resolver else None
