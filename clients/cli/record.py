"""A run as a person reads it: identity first, then statistics in their order, tables, warnings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

ORDER = (
    *("bars", "start_equity", "end_equity", "total_return", "cagr", "volatility"),
    *("sharpe", "sortino", "calmar", "max_drawdown", "max_drawdown_bars", "skew", "kurtosis"),
    *("probabilistic_sharpe", "value_at_risk_95", "best_bar", "worst_bar", "positive_bars"),
    *("exposure", "time_in_market", "turnover", "total_fees", "fills", "trades", "hit_rate"),
    *("profit_factor", "average_trade", "best_trade", "worst_trade"),
)
"""The order of docs/reference/statistics.md; what is not named follows by name."""


def as_text(run: Mapping[str, Any]) -> str:
    """Return what the ledger records of a run, one fact a line."""
    facts = [(name, value) for name, value in _facts(run) if value is not None]
    width = max(len(name) for name, _ in facts)
    return "\n".join(f"{name.ljust(width)}  {_shown(value)}" for name, value in facts)


def _facts(run: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "run", run["run_id"]
    yield "status", run["status"]
    yield "spec", f"{run['kind']}/{run['name']} version {run['version']}"
    yield from ((name, run[name]) for name in ("spec_hash", "run_sha", "result_sha"))
    yield "created", run["created_at"]
    yield "finished", run["finished_at"]
    statistics = run.get("statistics") or {}
    for name in sorted(statistics, key=_place):
        if not isinstance(statistics[name], dict | list):
            yield name, statistics[name]
    for name, table in sorted((run.get("result_tables") or {}).items()):
        yield f"table {name}", table
    for warning in statistics.get("warnings") or ():
        yield "warning", f"{warning.get('code')}: {warning.get('message')}"
    error = run.get("error") or {}
    yield "error", error.get("message")
    yield "hint", error.get("hint") or None


def _place(name: str) -> tuple[int, str]:
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def _shown(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else value
