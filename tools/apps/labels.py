"""The statistics of a tear sheet, by what name and in what form; one list for page and text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tools.apps.wording import amount, count, known, percent

Row = tuple[str, str, str]
"""Label, statistic, form."""

TILES: tuple[Row, ...] = (
    ("Total return", "total_return", "percent"),
    ("Yearly growth", "cagr", "percent"),
    ("Sharpe ratio", "sharpe", "ratio"),
    ("Max drawdown", "max_drawdown", "loss"),
    ("Volatility", "volatility", "share"),
    ("End equity", "end_equity", "whole"),
)
GROUPS: tuple[tuple[str, tuple[Row, ...]], ...] = (
    (
        "Return",
        (
            ("Start equity", "start_equity", "amount"),
            ("End equity", "end_equity", "amount"),
            ("Total return", "total_return", "percent"),
            ("Yearly growth (CAGR)", "cagr", "percent"),
            ("Sharpe ratio", "sharpe", "ratio"),
            ("Sharpe, 95 % from", "sharpe_low", "ratio"),
            ("Sharpe, 95 % to", "sharpe_high", "ratio"),
            ("Sortino ratio", "sortino", "ratio"),
            ("Calmar ratio", "calmar", "ratio"),
            ("Omega", "omega", "ratio"),
        ),
    ),
    (
        "Risk",
        (
            ("Volatility, yearly", "volatility", "share"),
            ("Max drawdown", "max_drawdown", "loss"),
            ("Longest drawdown, bars", "max_drawdown_bars", "count"),
            ("Ulcer index", "ulcer_index", "share"),
            ("Value at risk 95 %, bar", "value_at_risk_95", "loss"),
            ("Beyond it on average", "conditional_value_at_risk_95", "loss"),
            ("Best bar", "best_bar", "percent"),
            ("Worst bar", "worst_bar", "percent"),
            ("Skew", "skew", "ratio"),
            ("Kurtosis", "kurtosis", "ratio"),
        ),
    ),
    (
        "Luck",
        (
            ("Trials counted", "trials_counted", "count"),
            ("Sharpe that luck would give", "deflated_threshold", "ratio"),
            ("Deflated Sharpe ratio", "deflated_sharpe", "share"),
            ("Probability Sharpe > 0", "probabilistic_sharpe", "share"),
            ("Bars needed to show it", "minimum_track_record", "whole"),
            ("Probability of overfitting (PBO)", "pbo", "share"),
        ),
    ),
    (
        "Trades",
        (
            ("Fills", "fills", "count"),
            ("Closed trades", "trades", "count"),
            ("Winning trades", "hit_rate", "share"),
            ("Profit factor", "profit_factor", "ratio"),
            ("Average trade", "average_trade", "amount"),
            ("Payoff", "payoff", "ratio"),
            ("Average MAE", "average_mae", "amount"),
            ("Average MFE", "average_mfe", "amount"),
            ("Bars held", "holding_bars", "ratio"),
        ),
    ),
    (
        "Exposure and costs",
        (
            ("Bars", "bars", "count"),
            ("Average exposure", "exposure", "share"),
            ("Long", "exposure_long", "share"),
            ("Short", "exposure_short", "share"),
            ("Time in the market", "time_in_market", "share"),
            ("Turnover a year, times", "turnover_yearly", "ratio"),
            ("Fees paid", "total_fees", "amount"),
            ("Capacity", "capacity", "whole"),
        ),
    ),
    (
        "Benchmark",
        (
            ("Return", "benchmark_return", "percent"),
            ("Alpha, yearly", "benchmark_alpha", "percent"),
            ("Beta", "benchmark_beta", "ratio"),
            ("Correlation", "benchmark_correlation", "ratio"),
            ("Tracking error", "tracking_error", "share"),
            ("Information ratio", "information_ratio", "ratio"),
            ("Up capture", "up_capture", "ratio"),
            ("Down capture", "down_capture", "ratio"),
        ),
    ),
)
FORMS: dict[str, Callable[[Any], str]] = {
    "percent": percent,
    "share": lambda value: percent(value, sign=False),
    "loss": lambda value: percent(-value if known(value) else value),
    "ratio": amount,
    "amount": amount,
    "whole": lambda value: amount(value, digits=0),
    "count": count,
}


def in_words(statistics: Mapping[str, Any], rows: tuple[Row, ...]) -> str:
    """Return ``label value`` of each statistic that is there, separated by commas."""
    return ", ".join(
        f"{label.lower()} {FORMS[form](statistics[name])}"
        for label, name, form in rows
        if known(statistics.get(name))
    )
