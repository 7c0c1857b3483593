"""A backtest's result as gold tables: one of its own for the curve, shared ones for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from lakehouse.write import append_arrow
from runtimes.context import RunContext
from runtimes.engine.lean import profile as lean
from runtimes.engine.results import Columns, Result
from runtimes.engine.summary import PROFILE

ROLES = ("equity", "fills", "orders", "trades", "positions", "statistics")
PARTIAL = ("equity", "fills")
"""What a halted run keeps: a halt must be over soon, and the rest follows from these two."""
NAMESPACE = "alphaswarm_gold_backtests"
TIMES = frozenset({"timestamp", "created", "closed", "entry_time", "exit_time"})
ABSENT = frozenset({"weight", "quantity", "limit", "stop"})
"""Columns in which nan says that there is none: null in the table."""


def write(context: RunContext, result: Result, statistics: Mapping[str, Any]) -> dict[str, str]:
    """Append the tables that have rows, of a partial result `PARTIAL`; return their names by role.

    Each append has the key ``<run_id>:<role>``: a second attempt of the run gets the receipts of
    the first. Before each one the lease is looked at; a worker that lost it writes nothing more.
    """
    run_id = context.run.run_id
    written: dict[str, str] = {}
    for role in PARTIAL if result.partial else ROLES:
        data = _table(role, run_id, result, statistics)
        if not data.num_rows:
            continue
        context.hold()
        name = f"{NAMESPACE}.run_{run_id}" if role == "equity" else f"{NAMESPACE}.{role}"
        append_arrow(
            "gold",
            name,
            data,
            key=f"{run_id}:{role}",
            run_id=run_id,
            spec_sha256=context.run.spec_sha256,
            log=context.workshop.log,
            lake=context.workshop.lake,
        )
        written[role] = name
    return written


def _table(role: str, run_id: str, result: Result, statistics: Mapping[str, Any]) -> pa.Table:
    if role == "equity":
        return arrow(result.equity_table())
    columns = _numbers(statistics) if role == "statistics" else getattr(result, role)
    return arrow(columns, run_id=run_id)


def arrow(columns: Columns, *, run_id: str | None = None) -> pa.Table:
    """Return columns as an Arrow table; int64 ns times become ``timestamp[us, UTC]``.

    A nan in a column of `ABSENT` becomes null.
    """
    fields: dict[str, pa.Array] = {}
    if run_id is not None:
        rows = len(next(iter(columns.values())))
        fields["run_id"] = pa.array([run_id] * rows, pa.string())
    for name, column in columns.items():
        if name in TIMES:
            fields[name] = pa.array(column // 1000, pa.timestamp("us", tz="UTC"))
        elif column.dtype.kind in "UO":
            fields[name] = pa.array(column.tolist(), pa.string())
        else:
            fields[name] = pa.array(column, from_pandas=name in ABSENT)
    return pa.table(fields)


def _numbers(statistics: Mapping[str, Any]) -> Columns:
    """Return the finite numbers of both profiles as rows; what is undefined has no row."""
    rows = [
        (profile, name, float(value))
        for profile, numbers in ((PROFILE, statistics), (lean.PROFILE, statistics.get("lean", {})))
        for name, value in numbers.items()
        if isinstance(value, int | float) and np.isfinite(value)
    ]
    profiles, names, values = zip(*rows, strict=True)
    return {
        "profile": np.array(profiles, dtype=np.str_),
        "name": np.array(names, dtype=np.str_),
        "value": np.array(values, dtype=np.float64),
    }
