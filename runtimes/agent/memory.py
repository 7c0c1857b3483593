"""What a run may remember: recalled once at its beginning, as a row, so that a replay knows it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from ledger import memories
from ledger.pool import Pool
from ledger.runs import Run
from runtimes.specs.agent import AgentSpec
from topology.clock import rfc3339

LONGEST = 4_000
"""Characters that are kept of an answer."""


def scope_of(spec: AgentSpec, run: Run) -> str | None:
    """Return under which name a run's memories stand; None where it has none."""
    above = run.inputs.get("parent")
    names = {
        "none": None,
        "run": f"run:{above or run.run_id}",
        "agent": f"agent:{spec.name}",
        "workflow": f"workflow:{run.inputs.get('workflow') or above or run.run_id}",
    }
    return names[spec.memory.scope]


def recalled(pool: Pool, spec: AgentSpec, run: Run, as_of: dt.datetime | None) -> dict[str, Any]:
    """Return the memories that a run may see as the result of a call.

    With an as-of, only what was known then, less the embargo (agents.md 9).
    """
    scope = scope_of(spec, run)
    if scope is None:
        return {"items": []}
    before = None
    if as_of is not None and spec.memory.as_of_filter:
        before = as_of - dt.timedelta(seconds=spec.data.embargo_s)
    found = memories.recall(
        pool,
        run.run_id,
        scope=scope,
        subject=run.requested_by,
        before=before,
        most=spec.memory.max_items,
    )
    return {"items": [{"known_at": rfc3339(m.known_at), "text": m.text} for m in found]}


def lines(result: Mapping[str, Any]) -> Sequence[str]:
    """Return recalled memories as lines of a prompt."""
    return [f"({item['known_at']}) {item['text']}" for item in result["items"]]


def keep(pool: Pool, spec: AgentSpec, run: Run, text: str, *, known_at: dt.datetime) -> None:
    """Keep a run's answer for later ones, once."""
    scope = scope_of(spec, run)
    if scope is not None and text:
        memories.remember(
            pool,
            run.run_id,
            scope=scope,
            subject=run.requested_by,
            known_at=known_at,
            text=text[:LONGEST],
        )
