"""A run as a person reads it: identity first, then statistics in their order, tables, warnings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_ORDER = """
    bars start_equity end_equity total_return cagr volatility sharpe sortino calmar omega
    max_drawdown max_drawdown_bars ulcer_index skew kurtosis value_at_risk_95
    conditional_value_at_risk_95 tail_ratio best_bar worst_bar positive_bars
    probabilistic_sharpe minimum_track_record deflated_sharpe deflated_threshold
    trials_counted trials_variance sharpe_low sharpe_high cagr_low cagr_high
    max_drawdown_low max_drawdown_high bootstrap_block exposure exposure_long exposure_short
    exposure_net time_in_market turnover turnover_yearly capacity total_fees fills
    round_trips trades hit_rate profit_factor average_trade best_trade worst_trade
    average_win average_loss payoff expectancy system_quality kelly win_streak loss_streak
    average_mae average_mfe holding_bars longest_holding_bars benchmark_return
    benchmark_alpha benchmark_beta benchmark_correlation tracking_error information_ratio
    treynor up_capture down_capture batting_average factor_alpha factor_alpha_t
    factor_r_squared factor_residual_volatility factor_lags factor_bars ic_1 ic_5 ic_20
    rank_ic_1 rank_ic_5 rank_ic_20 rank_icir_1 rank_icir_5 rank_icir_20
"""
ORDER = tuple(_ORDER.split())
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
    yield from _verdict(statistics)
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


def _verdict(statistics: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the grade with its reasons, and which trial the numbers are those of."""
    verdict = statistics.get("verdict") or {}
    yield "verdict", verdict.get("grade")
    yield from (("", sentence) for sentence in verdict.get("sentences") or ())
    best = statistics.get("best_params")
    yield "best_params", ", ".join(f"{k} {v}" for k, v in best.items()) if best else None


def _place(name: str) -> tuple[int, str]:
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def _shown(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else value
