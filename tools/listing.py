"""Backtests as a list: identity, what each is worth, and its curve in a few points."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from ledger import runs
from tools import kept, lines
from tools import runs as seen
from tools.curves import thinned
from tools.registry import Office
from tools.rows import cell


class BacktestRow(seen.RunRow):
    """One line of the list; ``curve`` is equity at a few bars, null where none was asked for."""

    sharpe: float | None
    total_return: float | None
    max_drawdown: float | None
    trials: int | None
    verdict: str | None
    curve: list[float] | None


class BacktestPage(BaseModel):
    """Backtests, newest first; `next` goes into `after`, null on the last page."""

    model_config = ConfigDict(frozen=True)

    runs: list[BacktestRow]
    next: str | None


def page(
    office: Office,
    *,
    status: str | None,
    name: str | None,
    after: str | None,
    limit: int,
    points: int,
) -> BacktestPage:
    """Return a page of backtests, each with ``points`` of its curve (0: without)."""
    found = seen.page(office, kind=kept.KIND, status=status, name=name, after=after, limit=limit)
    rows = [_row(office, row, points=points) for row in found.runs]
    return BacktestPage(runs=rows, next=found.next)


def _row(office: Office, row: seen.RunRow, *, points: int) -> BacktestRow:
    run = runs.get(office.pool, row.run_id, kept.KIND)
    statistics = run.statistics or {}
    equity = lines.of_run(office, run).equity if points else None
    chosen = [] if equity is None else equity[thinned(equity, most=max(points, 2))].tolist()
    return BacktestRow(
        **row.model_dump(),
        sharpe=cell(statistics.get("sharpe")),
        total_return=cell(statistics.get("total_return")),
        max_drawdown=cell(statistics.get("max_drawdown")),
        trials=statistics.get("trials"),
        verdict=(statistics.get("verdict") or {}).get("grade"),
        curve=[float(f"{value:.6g}") for value in chosen] or None,
    )
