"""Every rule, in the order in which a report names those of one severity."""

from __future__ import annotations

from lakehouse.quality import prices, quotes, times
from lakehouse.quality.rule import Rule, Scope

RULES: tuple[Rule, ...] = (
    prices.not_positive,
    prices.inconsistent,
    prices.currency_change,
    times.future_bar,
    times.double_bar,
    prices.split_jump,
    prices.spike,
    prices.stale_run,
    times.missing_sessions,
    times.closed_day,
    times.ends_early,
    quotes.crossed,
    prices.outlier,
    prices.zero_volume,
    times.missing_bars,
    times.outside_hours,
    quotes.one_sided,
)


def named() -> dict[str, Rule]:
    """Return the rules by name."""
    return {rule.name: rule for rule in RULES}


def of(scope: Scope) -> tuple[Rule, ...]:
    """Return the rules that have something to say of such bars."""
    return tuple(rule for rule in RULES if rule.fits(scope))
