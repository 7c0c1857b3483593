"""Sheets as the tool ``tear_sheet`` returns them, of a made-up run."""

from __future__ import annotations

from typing import Any

import numpy as np

from tools import curves

DAY = 86_400
FIRST = 978_307_200  # 2001-01-01
COLUMNS = (
    "vt_symbol side entry_time exit_time entry_price exit_price quantity pnl fees mae mfe bars"
)


def sheet(*, points: int = 300, trades: int = 3) -> dict[str, Any]:
    """Return a sheet with ``points`` bars and ``trades`` closed trades, the same each time."""
    changes = np.random.default_rng(7).normal(0.0006, 0.012, points)
    equity = 100_000 * np.cumprod(1 + changes)
    rolling = curves.rolling_sharpe(changes, window=20, periods_per_year=252)
    fall = 1 - equity / np.maximum.accumulate(equity)
    rows = [
        [FIRST + DAY * at, float(equity[at]), float(fall[at]), _number(rolling[at]), 1.0]
        for at in range(points)
    ]
    return {
        "run": {"run_id": "r" * 26, "name": "kit", "version": 1, "status": "succeeded"},
        "lead": "equal_weight, AAA.TEST",
        "spec": {"kind": "backtest"},
        "statistics": {"standard": {"total_return": 0.1, "sharpe": 0.7}, "lean": None},
        "verdict": None,
        "audit": None,
        "sensitivity": None,
        "warnings": [],
        "error": None,
        "curve": {
            "bars": points,
            "start": 100_000.0,
            "window": 20,
            "name": "",
            "behind": [],
            "columns": ["t", "equity", "drawdown", "rolling_sharpe", "exposure"],
            "rows": rows,
        },
        "monthly": [[2001, *[0.01] * 12, 0.1268]],
        "drawdowns": [],
        "trades": {
            "run_id": "r" * 26,
            "total": trades,
            "columns": COLUMNS.split(),
            "rows": [_trade(number) for number in range(trades)],
        },
        "symbols": [],
        "trials": None,
    }


def _trade(number: int) -> list[Any]:
    day = f"2001-{1 + number % 9:02}-{1 + number % 27:02}T21:00:00Z"
    pnl = float(number % 7 - 3) * 10.25
    return [
        "AAA.TEST",
        "long",
        "2001-01-02T21:00:00Z",
        day,
        10.5,
        11.25,
        100.0,
        pnl,
        1.0,
        -4.0,
        9.0,
        number,
    ]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
