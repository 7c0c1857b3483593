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
            ("Sortino ratio", "sortino", "ratio"),
            ("Calmar ratio", "calmar", "ratio"),
            ("Probability Sharpe > 0", "probabilistic_sharpe", "share"),
        ),
    ),
    (
        "Risk",
        (
            ("Volatility, yearly", "volatility", "share"),
            ("Max drawdown", "max_drawdown", "loss"),
            ("Longest drawdown, bars", "max_drawdown_bars", "count"),
            ("Value at risk 95 %, bar", "value_at_risk_95", "loss"),
            ("Best bar", "best_bar", "percent"),
            ("Worst bar", "worst_bar", "percent"),
            ("Skew", "skew", "ratio"),
            ("Kurtosis", "kurtosis", "ratio"),
        ),
    ),
    (
        "Activity",
        (
            ("Bars", "bars", "count"),
            ("Fills", "fills", "count"),
            ("Closed trades", "trades", "count"),
            ("Winning trades", "hit_rate", "share"),
            ("Profit factor", "profit_factor", "ratio"),
            ("Average exposure", "exposure", "share"),
            ("Turnover, per bar", "turnover", "share"),
            ("Fees paid", "total_fees", "amount"),
        ),
    ),
    (
        "Benchmark",
        (
            ("Return", "benchmark_return", "percent"),
            ("Beta", "benchmark_beta", "ratio"),
            ("Correlation", "benchmark_correlation", "ratio"),
            ("Information ratio", "information_ratio", "ratio"),
        ),
    ),
    (
        "Luck",
        (
            ("Trials counted", "trials_counted", "count"),
            ("Deflated Sharpe ratio", "deflated_sharpe", "share"),
            ("Sharpe to be beaten by luck", "deflated_threshold", "ratio"),
            ("Probability of overfitting (PBO)", "pbo", "share"),
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
