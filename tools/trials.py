"""The trials of a sweep or walk-forward as a table that never shows the best one alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ledger.runs import Run
from tools import kept
from tools.apps.labels import GROUPS, in_words
from tools.curves import thinned
from tools.registry import Office
from tools.rows import cell

MOST = 400
"""Trials that a sheet shows, the best by Sharpe ratio first."""
FIXED = ("trial", "split", "sharpe", "total_return", "max_drawdown")
LEAVES = 48
"""Values of a parameter up to which a heatmap has a row or column for each."""
BEHIND, POINTS_BEHIND = 9, 100
"""Curves of other trials that a picture shows behind the run's own, and points of each."""
LUCK = next(rows for title, rows in GROUPS if title == "Luck")


def view(office: Office, run: Run) -> dict[str, Any] | None:
    """Return ``total, columns, rows, axes, luck, curves`` of a run's trials; None without any.

    ``columns`` are `FIXED` with the parameters that vary after ``split``; ``axes`` are the two
    parameters of a whole grid with their values, for a heatmap, else empty; ``curves`` are thinned
    equity curves of other trials, to lay behind the run's own. A stitched path has trial -1.
    """
    if not kept.has(run, "trials"):
        return None
    table, _ = kept.table(office, run, "trials")
    rows = [{**row, "params": json.loads(row["params"])} for row in table.to_pylist()]
    names = sorted({name for row in rows for name in row["params"]})
    rows.sort(key=lambda row: (_first(row["split"]), -_number(row["sharpe"]), row["trial"]))
    columns = [*FIXED[:2], *names, *FIXED[2:]]
    listed = [[cell(row.get(name, row["params"].get(name))) for name in columns] for row in rows]
    statistics = run.statistics or {}
    shown = ("objective", "best_trial", "best_params", "failed_trials", "degradation", "paths")
    return {
        "total": int(statistics.get("trials") or len({row["trial"] for row in rows})),
        "rows_total": len(rows),
        "columns": columns,
        "rows": listed[:MOST],
        "axes": _axes(rows, names) if len(rows) <= MOST else [],
        "luck": {name: statistics[name] for _, name, _ in LUCK if name in statistics},
        "facts": cell({name: statistics[name] for name in shown if name in statistics}),
    }


def curves(office: Office, run: Run) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the run's own curve (times int64 ns, equity) with a name, and the others thinned.

    A walk-forward's own is its stitched path of median Sharpe ratio, a sweep's its best trial: each
    with the others behind it. Without stored curves both are empty.
    """
    if not kept.has(run, "trial_equity"):
        return {}, []
    table, _ = kept.table(office, run, "trial_equity")
    split = table.column("split").to_numpy().astype(str)
    trial, times = table.column("trial").to_numpy(), kept.nanoseconds(table)
    equity = kept.numbers(table, "equity")
    found = []
    for name, number in sorted(set(zip(split.tolist(), trial.tolist(), strict=True))):
        rows = np.flatnonzero((split == name) & (trial == number))
        rows = rows[np.argsort(times[rows], kind="stable")]
        found.append({"name": _name(name, number), "times": times[rows], "equity": equity[rows]})
    own = _own(run, [str(one["name"]) for one in found])
    others = [one for place, one in enumerate(found) if place != own][:BEHIND]
    return found[own], [_thin(one) for one in others]


def _name(split: str, trial: int) -> str:
    return split if trial < 0 else f"trial {trial}"


def _own(run: Run, names: list[str]) -> int:
    """Return the place of the curve whose statistics the run has."""
    statistics = run.statistics or {}
    best = f"trial {statistics.get('best_trial')}"
    if best in names:
        return names.index(best)
    sharpes = ((statistics.get("paths") or {}).get("sharpe")) or []
    order = sorted(range(len(sharpes)), key=lambda place: _number(sharpes[place]))
    median = f"path-{order[(len(order) - 1) // 2]:03d}" if order else ""
    return names.index(median) if median in names else 0


def _thin(one: dict[str, Any]) -> dict[str, Any]:
    chosen = thinned(one["equity"], most=POINTS_BEHIND).tolist()
    rows = [[int(one["times"][at] // 10**9), float(f"{one['equity'][at]:.7g}")] for at in chosen]
    return {"name": one["name"], "rows": rows}


def _first(split: str) -> int:
    """Return the order of the kinds of rows: stitched paths, out of sample, the rest."""
    return {"path": 0, "out": 1}.get(split.partition("-")[0], 2)


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
            f"{trials['total']} trials; of many, the best is lucky too: {luck}. The first rows:",
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
    whole = len(pairs) == len(rows) and all(2 <= len(one) <= LEAVES for one in values)
    return [[name, cell(found)] for name, found in zip(names, values, strict=True)] if whole else []


def _key(value: Any) -> tuple[int, Any]:
    return (0, value) if isinstance(value, int | float) else (1, str(value))
