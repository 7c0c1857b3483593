"""A list of runs as a table, the equity of backtests drawn in its last column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clients.cli import output, sparks
from clients.cli.place import Place

COLUMNS = ("run_id", "kind", "name", "version", "status", "created_at", "finished_at")
POINTS = 24


def as_text(found: Sequence[Mapping[str, Any]], asked: Mapping[str, Any]) -> str:
    """Return the rows that the arguments ``asked`` of list_runs gave."""
    if not found:
        return "No runs yet."
    drawn = _curves(found, asked)
    rows = [[*(row.get(name) for name in COLUMNS), drawn.get(row["run_id"], "")] for row in found]
    return output.table((*COLUMNS, "equity"), rows)


def _curves(rows: Sequence[Mapping[str, Any]], asked: Mapping[str, Any]) -> dict[str, str]:
    """Return run id -> sparkline of the backtests among ``rows``; empty where none can be read."""
    from clients.cli import calls
    from topology.errors import AlphaSwarmError

    if not any(row["kind"] == "backtest" for row in rows):
        return {}
    try:
        given = {name: asked.get(name) for name in ("status", "name", "limit", "after")}
        found = calls.call(Place.find(), "backtest", "list_runs", {**given, "curve": POINTS})
    except AlphaSwarmError:
        return {}
    return {row["run_id"]: sparks.line(row["curve"] or ()) for row in found["runs"]}
