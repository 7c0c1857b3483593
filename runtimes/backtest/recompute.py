"""The statistics of a finished backtest again, from its gold tables and the bars it pinned.

Nothing is simulated: what a run says of itself follows from what it stored, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from lakehouse import query, schemas
from lakehouse.lake import Lake
from lakehouse.layers import TableName
from lakehouse.scan import Where
from ledger.runs import Run
from runtimes.backtest import measuring, staging
from runtimes.backtest.record import NAMESPACE
from runtimes.engine.arrays import Ints
from runtimes.engine.curve import Curve
from runtimes.engine.results import Columns, Result
from runtimes.engine.summary import Looked
from runtimes.specs.backtest import BacktestSpec
from topology.errors import MissingError

TABLES = ("fills", "orders", "trades", "positions")
ID = ("timestamp", "vt_symbol", "order_id")
"""Columns that tell a fill from all others of a run: an order fills once in a bar."""


def recompute(lake: Lake, run: Run, spec: BacktestSpec) -> dict[str, Any]:
    """Return what `runtimes.backtest.measuring.measure` says of the stored result of ``run``.

    How many trials there were is taken from the record: the ledger counts more of them by now.
    A run that did not succeed, or one of many trials, raises ``not_found``: it has no such tables.
    """
    known = run.statistics or {}
    if (
        run.status != "succeeded"
        or known.get("partial")
        or "equity" not in (run.result_tables or {})
    ):
        raise MissingError(
            f"Run {run.run_id} has no whole result to compute from: it is {run.status}.",
            hint="Only a plain backtest that succeeded keeps all that its statistics follow from.",
            status=run.status,
        )
    looked = Looked(int(known["trials_counted"]), known["trials_variance"])
    ground = staging.ground(lake, spec, snapshot_ids=run.snapshot_ids or {})
    return measuring.measure(
        spec, ground.window, stored(lake, run), count=lambda _: looked, facts=ground.facts
    )


def differences(known: Mapping[str, Any], again: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what is not the same number in both, by name: as it is known, and computed again."""
    return {
        f"{path}{name}": (known.get(name), value)
        for path, part, other in (("", known, again), ("lean.", known["lean"], again["lean"]))
        for name, value in other.items()
        if not isinstance(value, dict) and part.get(name) != value
    }


def stored(lake: Lake, run: Run) -> Result:
    """Return the result that ``run`` stored, its fills in the order in which they happened."""
    tables = run.result_tables or {}
    equity = _columns(query.read(lake, tables["equity"]))
    rows = {role: _of_run(lake, run.run_id, role, tables.get(role)) for role in TABLES}
    fills, positions = _in_order(rows["fills"], rows["positions"])
    return Result(
        timestamps=equity["timestamp"],
        curve=Curve.stored(equity),
        fills=fills,
        orders=rows["orders"],
        trades=rows["trades"],
        positions=positions,
        warnings=(),
        partial=False,
    )


def _of_run(lake: Lake, run_id: str, role: str, table: str | None) -> Columns:
    if table is None:
        shape = schemas.of(TableName.parse(f"{NAMESPACE}.{role}"), pa.schema([]))
        return _columns(shape.columns.empty_table())
    return _columns(query.read(lake, table, where=Where(run_id=run_id)))


def _columns(table: pa.Table) -> Columns:
    return {name: _column(table.column(name)) for name in table.column_names if name != "run_id"}


def _column(column: pa.ChunkedArray) -> Any:
    """Return a column as the engine has it: times int64 ns, text as text, nan for null."""
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.int64()).to_numpy() * 1_000
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.array(column.to_pylist(), dtype=np.str_)
    return column.to_numpy()


def _in_order(fills: Columns, positions: Columns) -> tuple[Columns, Columns]:
    """Return fills and the positions after them, row by row, as ``sequence`` numbers them.

    Rows of lakes that did not number them yet keep the order of the table.
    """
    numbers = positions["sequence"]
    if not numbers.size or np.isnan(numbers).any():
        return fills, positions
    of_fills = np.empty(numbers.size, dtype=np.int64)
    of_fills[_by_id(fills)] = numbers[_by_id(positions)]
    return _taken(fills, np.argsort(of_fills)), _taken(positions, np.argsort(numbers))


def _by_id(columns: Columns) -> Ints:
    return np.lexsort([columns[name] for name in reversed(ID)])


def _taken(columns: Columns, order: Ints) -> Columns:
    return {name: column[order] for name, column in columns.items()}
