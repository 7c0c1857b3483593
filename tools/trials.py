"""The trials of a sweep or walk-forward as a table that never shows the best one alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ledger.runs import Run
from tools import kept
from tools.apps.labels import GROUPS, in_words
from tools.registry import Office
from tools.rows import cell

MOST = 400
"""Trials that a sheet shows, the best by Sharpe ratio first."""
FIXED = ("trial", "split", "sharpe", "total_return", "max_drawdown")
LEAVES = 12
"""Values of a parameter up to which a heatmap has a row or column for each."""
LUCK = next(rows for title, rows in GROUPS if title == "Luck")


def view(office: Office, run: Run) -> dict[str, Any] | None:
    """Return ``total, columns, rows, axes, luck`` of the run's trials; None where it has none.

    ``columns`` are `FIXED` with the parameters that vary after ``split``; ``axes`` are the two
    parameters of a whole grid with their values, for a heatmap, else empty.
    """
    if not kept.has(run, "trials"):
        return None
    table, _ = kept.table(office, run, "trials")
    rows = [{**row, "params": params(row["params"])} for row in table.to_pylist()]
    names = sorted({name for row in rows for name in row["params"]})
    rows.sort(key=lambda row: (-_number(row["sharpe"]), row["trial"], str(row["split"])))
    columns = [*FIXED[:2], *names, *FIXED[2:]]
    listed = [[cell(row.get(name, row["params"].get(name))) for name in columns] for row in rows]
    statistics = run.statistics or {}
    return {
        "total": len(rows),
        "columns": columns,
        "rows": listed[:MOST],
        "axes": _axes(rows, names) if len(rows) <= MOST else [],
        "luck": {name: statistics[name] for _, name, _ in LUCK if name in statistics},
    }


def params(value: Any) -> dict[str, Any]:
    """Return a trial's parameters, whatever way the table keeps them (JSON text or pairs)."""
    found = json.loads(value) if isinstance(value, str) else dict(value or {})
    return dict(found)


def told(trials: Mapping[str, Any]) -> str:
    """Return how many were tried, the best ones, and what luck alone explains."""
    columns, rows = trials["columns"], trials["rows"]
    best = [
        ", ".join(f"{name} {value}" for name, value in zip(columns, row, strict=True))
        for row in rows[:3]
    ]
    luck = in_words(trials["luck"], LUCK) or "nothing was computed about luck"
    return "\n".join(
        [
            f"{trials['total']} trials; of many, the best is lucky too: {luck}.",
            *(f"{place}. {text}" for place, text in enumerate(best, 1)),
        ]
    )


def _number(value: Any) -> float:
    return float(value) if value is not None and value == value else float("-inf")


def _axes(rows: list[dict[str, Any]], names: list[str]) -> list[list[Any]]:
    """Return the two axes of a grid in which each pair was tried once, else nothing."""
    if len(names) != 2:
        return []
    values = [sorted({row["params"].get(name) for row in rows}, key=_key) for name in names]
    pairs = {tuple(str(row["params"].get(name)) for name in names) for row in rows}
    whole = len(pairs) == len(rows) and all(2 <= len(one) <= LEAVES * 4 for one in values)
    return [[name, cell(found)] for name, found in zip(names, values, strict=True)] if whole else []


def _key(value: Any) -> tuple[int, Any]:
    return (0, value) if isinstance(value, int | float) else (1, str(value))
