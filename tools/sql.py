"""``query_sql`` behind the tool: in the caller's turn, over with the request, changes noted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ledger import audit
from tools.registry import Office
from tools.rows import Rows, capped
from topology.errors import FaultError
from topology.principal import Principal

if TYPE_CHECKING:
    from lakehouse.sandbox import Asked

_under_way: set[Asked] = set()
"""Queries whose callers wait; touched by the event loop's thread alone."""


async def answer(
    office: Office, caller: Principal, sql: str, *, max_rows: int, as_of: str | None
) -> Rows:
    """Return the rows of one SELECT, within the topology's limits and a conversation's.

    The query waits and runs on threads of its own. A cancelled or abandoned request ends it at
    once, as `close` does. If a data file changed under it, an audit row says whose query it was.
    """
    from lakehouse import sandbox
    from lakehouse.errors import DataChangedError

    limits = office.topology.limits.sql
    most = min(max_rows, limits.max_rows)
    who = f"{caller.subject} {caller.actor or caller.client_id}"
    asked = sandbox.ask(office.lake, sql, who=who, max_rows=most, as_of=as_of, limits=limits)
    _under_way.add(asked)
    try:
        result = await asyncio.wrap_future(asked.answer)
    except DataChangedError as error:
        await asyncio.to_thread(_record, office, caller, error)
        raise
    finally:
        asked.end()
        _under_way.discard(asked)
    return capped(
        [column.name for column in result.columns],
        result.rows,
        most_rows=most,
        snapshot_ids=result.snapshot_ids,
        more=result.truncated,
    )


def close() -> None:
    """End every query: the process is told to stop. May be called twice."""
    for asked in list(_under_way):
        asked.leash.pull()


def _record(office: Office, caller: Principal, error: FaultError) -> None:
    audit.append(
        office.pool,
        actor=caller.actor or caller.subject,
        action="query_sql",
        target="lake",
        decision="failed",
        args_sha256=str(error.facts["sql_sha256"]),
        facts={
            **caller.facts(),
            "on_behalf_of": caller.subject,
            "code": error.wire_code,
            "files": int(error.facts["files"]),
        },
    )
