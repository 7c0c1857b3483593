"""A backtest's result as gold tables: one of its own for the curve, shared ones for the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from lakehouse.write import append_arrow

from runtimes.context import RunContext
from runtimes.engine.results import Columns, Result
from runtimes.engine.summary import PROFILE

NAMESPACE = "alphaswarm_gold_backtests"
TIMES = frozenset({"timestamp", "created", "closed", "entry_time", "exit_time"})

Hold = Callable[[], None]


def write(context: RunContext, result: Result, statistics: Mapping[str, Any]) -> dict[str, str]:
    """Append every table that has rows and return their names by role.

    Each append has the key ``<run_id>:<role>``: a second attempt of the run gets the receipts of
    the first. Before each one the lease is looked at; a worker that lost it writes nothing more.
    """
    run_id = context.run.run_id
    written: dict[str, str] = {}
    for role, data in _tables(run_id, result, statistics).items():
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


def _tables(run_id: str, result: Result, statistics: Mapping[str, Any]) -> dict[str, pa.Table]:
    return {
        "equity": arrow(result.equity_table()),
        "fills": arrow(result.fills, run_id=run_id),
        "orders": arrow(result.orders, run_id=run_id),
        "trades": arrow(result.trades, run_id=run_id),
        "positions": arrow(result.positions, run_id=run_id),
        "statistics": arrow(_numbers(statistics), run_id=run_id),
    }


def arrow(columns: Columns, *, run_id: str | None = None) -> pa.Table:
    """Return columns as an Arrow table; int64 ns times become ``timestamp[us, UTC]``."""
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
            fields[name] = pa.array(column)
    return pa.table(fields)


def _numbers(statistics: Mapping[str, Any]) -> Columns:
    """Return the finite numbers of the statistics as rows; what is undefined has no row."""
    rows = {
        name: float(value)
        for name, value in statistics.items()
        if isinstance(value, int | float) and np.isfinite(value)
    }
    return {
        "profile": np.full(len(rows), PROFILE),
        "name": np.array(list(rows), dtype=np.str_),
        "value": np.array(list(rows.values()), dtype=np.float64),
    }
