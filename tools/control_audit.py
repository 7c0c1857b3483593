"""The audit ledger as tools of ``control``: its rows, and whether its chain is whole."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from auth.policy import Rule
from ledger import audit, heads
from tools.registry import Office, tool
from tools.runs import Limit
from topology.clock import rfc3339
from topology.principal import Principal

READ = Rule(scopes=("control:read",), actor="any")


class Frozen(BaseModel):
    """A result that does not change."""

    model_config = ConfigDict(frozen=True)


class AuditRow(Frozen):
    """One link of the audit chain."""

    seq: int
    at: str
    actor: str
    action: str
    target: str
    args_sha256: str
    decision: str
    facts: dict[str, str | int]
    hash: str


class AuditPage(Frozen):
    """Audit rows; `next` goes into `after`, null on the last page."""

    rows: list[AuditRow]
    next: int | None


class ChainVerdict(Frozen):
    """Whether every link of the audit chain fits; ``broken_seq`` is the first that does not.

    ``problem`` is ``row`` where a row does not fit the one before, ``head`` where the rows fit one
    another but not a head that was published: the chain was written anew. ``heads`` were compared.
    """

    ok: bool
    rows: int
    broken_seq: int | None
    tip: str
    heads: int
    problem: Literal["", "row", "head"]


@tool(server="control", auth=READ, title="Read the audit ledger", read_only=True)
def audit_log(
    after: Annotated[int | None, Field(ge=0, description="`next` of the page before")] = None,
    limit: Limit = 50,
    order: Literal["newest", "oldest"] = "newest",
    *,
    office: Office,
    caller: Principal,
) -> AuditPage:
    """Return rows of the audit ledger: who intended what, and what came of it."""
    del caller
    rows = audit.tail(office.pool, after=after, limit=limit + 1, newest_first=order == "newest")
    return AuditPage(
        rows=[
            AuditRow(
                seq=row.seq,
                at=rfc3339(row.at),
                actor=row.actor,
                action=row.action,
                target=row.target,
                args_sha256=row.args_sha256,
                decision=row.decision,
                facts=dict(row.facts),
                hash=row.hash,
            )
            for row in rows[:limit]
        ],
        next=rows[limit - 1].seq if len(rows) > limit else None,
    )


@tool(server="control", auth=READ, title="Verify the audit chain", read_only=True)
def verify_audit(
    head: Annotated[
        str | None, Field(description="SEQ:HASH that you noted earlier", max_length=100)
    ] = None,
    *,
    office: Office,
    caller: Principal,
) -> ChainVerdict:
    """Recompute the hash of every audit row and compare it with the published heads.

    Names the first row that does not fit.
    """
    del caller
    files = heads.places(office.home, office.topology.audit.copies)
    known = [*heads.read(files), *([heads.parse(head)] if head else [])]
    verdict = audit.verify(office.pool, ((one.seq, one.hash) for one in known))
    return ChainVerdict(**dataclasses.asdict(verdict))
