"""The closed trades of a run: filtered, sorted, page by page, and the newest of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ledger.runs import Run
from tools import kept
from tools.registry import Office
from tools.results import Link
from tools.rows import Rows, capped, cell
from topology.errors import BadInputError

Order = Literal[
    "exit_time", "entry_time", "vt_symbol", "pnl", "fees", "quantity", "bars", "mae", "mfe"
]
MOST = 500
"""Trades of a page."""
PARTIAL = "This run ended early: it kept its curve and fills, and no trades were matched from them."
TRIALS = "This run tried many parameters; its rows are trials, and single trades were not kept."


class TradePage(BaseModel):
    """``matched`` trades passed the filters; ``next`` goes into ``offset``, null on the last page.

    ``pnl`` and ``fees`` are the sums over all that matched, ``wins`` counts those above 0.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    total: int
    matched: int
    pnl: float
    fees: float
    wins: int
    next: int | None
    note: str | None
    trades: Rows

    def links(self) -> list[Link]:
        """Return the resource that holds the first trades of the run."""
        return [Link(f"backtest://runs/{self.run_id}/trades", "trades", title="Trades")]


def page(
    office: Office,
    run: Run,
    *,
    symbols: Sequence[str] | None,
    side: str | None,
    outcome: str | None,
    start: str | None,
    end: str | None,
    sort: Order,
    descending: bool,
    offset: int,
    limit: int,
) -> TradePage:
    """Return a page of the trades that every given filter lets through, in a stable order."""
    if not kept.has(run, "trades"):
        kept.started(run)
        return _nothing(run)
    table, snapshot_ids = kept.table(office, run, "trades")
    chosen = _chosen(table, symbols, side, outcome, _day(start, "start"), _day(end, "end"))
    pnl, fees = (kept.numbers(table, name)[chosen] for name in ("pnl", "fees"))
    ordered = chosen[_order(table, chosen, sort, descending=descending)]
    rows = _without_run(table.take(ordered[offset : offset + limit].tolist()))
    shown = capped(
        rows.column_names,
        zip(*(column.to_pylist() for column in rows.columns), strict=True),
        most_rows=limit,
        snapshot_ids=snapshot_ids,
        more=offset + limit < len(chosen),
    )
    following = offset + shown.row_count
    return TradePage(
        run_id=run.run_id,
        total=table.num_rows,
        matched=len(chosen),
        pnl=float(pnl.sum()),
        fees=float(fees.sum()),
        wins=int((pnl > 0).sum()),
        next=following if following < len(chosen) else None,
        note=None,
        trades=shown,
    )


def newest(office: Office, run: Run, *, most: int) -> dict[str, Any]:
    """Return ``run_id, total, columns, rows`` of the trades that were closed last."""
    if not kept.has(run, "trades"):
        return {"run_id": run.run_id, "total": 0, "columns": [], "rows": []}
    table, _ = kept.table(office, run, "trades")
    everything = np.arange(table.num_rows)
    ordered = everything[_order(table, everything, "exit_time", descending=True)]
    rows = _without_run(table.take(ordered[:most].tolist()))
    columns = (column.to_pylist() for column in rows.columns)
    return {
        "run_id": run.run_id,
        "total": table.num_rows,
        "columns": list(rows.column_names),
        "rows": [[cell(value) for value in row] for row in zip(*columns, strict=True)],
    }


def _nothing(run: Run) -> TradePage:
    partial = (run.statistics or {}).get("partial")
    note = TRIALS if kept.has(run, "trials") else PARTIAL if partial else None
    empty = Rows(columns=[], rows=[], row_count=0, truncated=False, snapshot_ids={})
    return TradePage(
        run_id=run.run_id,
        total=0,
        matched=0,
        pnl=0.0,
        fees=0.0,
        wins=0,
        next=None,
        note=note or "No position was closed.",
        trades=empty,
    )


def _chosen(
    table: Any,
    symbols: Sequence[str] | None,
    side: str | None,
    outcome: str | None,
    start: np.datetime64 | None,
    end: np.datetime64 | None,
) -> NDArray[np.int64]:
    keep = np.ones(table.num_rows, dtype=bool)
    if symbols:
        keep &= np.isin(table.column("vt_symbol").to_numpy().astype(str), list(symbols))
    if side:
        keep &= table.column("side").to_numpy() == side
    if outcome:
        won = kept.numbers(table, "pnl") > 0
        keep &= won if outcome == "win" else ~won
    exits = table.column("exit_time").to_numpy().astype("datetime64[D]")
    if start is not None:
        keep &= exits >= start
    if end is not None:
        keep &= exits <= end
    return np.flatnonzero(keep)


def _order(table: Any, chosen: NDArray[np.int64], sort: str, *, descending: bool) -> Any:
    values = table.column(sort).to_numpy()[chosen]
    if values.dtype.kind == "O":
        values = values.astype(str)
    if not descending:
        return np.argsort(values, kind="stable")
    # equal values keep their order: a page before and a page after must not share a trade
    return len(values) - 1 - np.argsort(values[::-1], kind="stable")[::-1]


def _without_run(table: Any) -> Any:
    return table.drop_columns(["run_id"])


def _day(text: str | None, path: str) -> np.datetime64 | None:
    if text is None:
        return None
    try:
        return np.datetime64(dt.date.fromisoformat(text), "D")
    except ValueError:
        raise BadInputError(
            f"{path}: {text[:64]!r} is no day.",
            hint="Write it as YYYY-MM-DD.",
            errors=[{"path": path, "value": text[:64], "problem": "This is no day."}],
        ) from None
