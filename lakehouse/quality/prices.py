"""Rules on prices and volume: what no exchange would print, and what it seldom does."""

from __future__ import annotations

from lakehouse.calendars import Resolution
from lakehouse.quality.rule import Scope, each, rule

FAR, BACK_FAR = 12.0, 8.0
"""Robust z of an outlier, and of one that the next bar takes back.

Iglewicz and Hoaglin (1993) propose 3.5 for normal data; returns have fat tails, and of good daily
bars one in a thousand is beyond 12.
"""
RETURNED = 0.25
"""A move is taken back when less than this share of it is left after the next."""
_TAKEN = f"coalesce(abs(move + move_after) < {RETURNED} * abs(move), false)"
_TAKES = f"coalesce(abs(move_before + move) < {RETURNED} * abs(move_before), false)"
STALE: dict[Resolution, int] = {"1d": 5, "1h": 14, "1m": 60}
"""Bars without change that make a stale run: a week, two sessions, an hour."""

SPLITS = (
    *((3, 2), (2, 1), (5, 2), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1), (8, 1), (10, 1)),
    *((12, 1), (15, 1), (20, 1), (25, 1), (30, 1), (40, 1), (50, 1), (100, 1)),
)
"""Splits that are looked for, both ways. Smaller ones (5:4, 4:3) look like an ordinary bad day."""
NEAR, STAYS = 0.03, 0.15
"""How near (in logs) the next open is to the split's ratio, and how near the close stays."""


@rule("error", "A traded price is above 0 and a volume is not below 0.")
def not_positive(scope: Scope) -> str:
    """Find prices that are not above 0, and volumes below it."""
    sides = ("",) if scope.kind == "bars" else ("bid_", "ask_")
    parts = ("open", "high", "low", "close")
    lowest = f"least({', '.join(side + part for side in sides for part in parts)})"
    return each(
        f"least({lowest}, coalesce(volume, 0))",
        f"format('lowest price {{:g}}, volume {{:g}}', {lowest}, coalesce(volume, 0))",
        f"{lowest} <= 0 OR volume < 0",
    )


@rule("error", "The high is the highest and the low the lowest price of a bar.")
def inconsistent(scope: Scope) -> str:
    """Find bars whose high or low is not the extreme; of quotes, each side is judged alone."""
    sides = ("",) if scope.kind == "bars" else ("bid_", "ask_")
    wrong = [
        f"{side}high < greatest({side}open, {side}low, {side}close) "
        f"OR {side}low > least({side}open, {side}high, {side}close)"
        for side in sides
    ]
    return each(
        "greatest(high, open, low, close) / nullif(high, 0) - 1",
        "format('open {:g}, high {:g}, low {:g}, close {:g}', open, high, low, close)",
        " OR ".join(wrong),
    )


@rule("error", "An instrument is quoted in one currency; prices before and after do not compare.")
def currency_change(scope: Scope) -> str:
    """Find bars in another currency than the bar before."""
    del scope
    return each(
        "1",
        "format('from {} to {}', currency_before, currency)",
        "currency <> currency_before",
    )


@rule("warning", "A feed that stopped repeats its last price: returns of 0 look like low risk.")
def stale_run(scope: Scope) -> str:
    """Find runs of bars with one close and no sign of trading.

    That is volume 0, or the very volume of the bar before; where volume is not known, a bar whose
    prices are all the same.
    """
    same = (
        "coalesce(close = close_before AND CASE WHEN volume IS NULL THEN high = low "
        "ELSE volume = 0 OR volume = volume_before END, false)"
    )
    return f"""
    WITH marked AS (
        SELECT *, sum(CASE WHEN {same} THEN 0 ELSE 1 END) OVER
            (PARTITION BY vt_symbol ORDER BY "timestamp" ROWS UNBOUNDED PRECEDING) AS run FROM seen
    )
    SELECT vt_symbol, max("timestamp") AS "timestamp", min("timestamp") AS since,
        count(*)::DOUBLE AS value,
        format('{{}} bars at {{:g}}', count(*), any_value(close)) AS detail
    FROM marked GROUP BY vt_symbol, run HAVING count(*) >= {STALE[scope.resolution]}
    """  # noqa: S608


@rule("warning", "A move that the next bar takes back is more often a bad print than news.")
def spike(scope: Scope) -> str:
    """Find bars far outside what is usual whose move the next bar takes back."""
    del scope
    return _far(f"z > {BACK_FAR} AND {_TAKEN} AND NOT {_TAKES}")


@rule("info", "A move this far outside what is usual is news, a crash, or a mistake.")
def outlier(scope: Scope) -> str:
    """Find moves far outside the usual, by the robust z of log returns.

    The distance from the median of the 63 moves before, in units of their median absolute
    deviation: unlike a standard deviation it does not grow with the outliers it is to find.
    """
    del scope
    return _far(f"z > {FAR} AND NOT {_TAKEN} AND NOT {_TAKES}")


@rule("warning", "An unadjusted split is a return of -50 % or +900 % that nobody earned.")
def split_jump(scope: Scope) -> str:
    """Find jumps over night, to a new level that stays, near the ratio of a split.

    Prices are adjusted by the known factors first: what they explain is no jump.
    """
    del scope
    ratios = ", ".join(f"({n}, {m})" for a, b in SPLITS for n, m in ((a, b), (b, a)))
    return f"""
    WITH jumps AS (
        SELECT *, ln(opening / level_before) AS gap, ln(level / level_before) AS whole FROM seen
        WHERE day <> day_before AND opening > 0 AND level > 0 AND level_before > 0
            AND NOT {_TAKEN} AND NOT {_TAKES}
    )
    SELECT vt_symbol, "timestamp", previous AS since, exp(gap)::DOUBLE AS value,
        format('{{}}:{{}} split? {{:g}} to {{:g}} over night, no factor', n, m, close_before, open)
            AS detail
    FROM jumps JOIN (VALUES {ratios}) splits(n, m)
        ON abs(gap + ln(n / m)) < {NEAR} AND abs(whole + ln(n / m)) < {STAYS}
    QUALIFY row_number() OVER
        (PARTITION BY vt_symbol, "timestamp" ORDER BY abs(gap + ln(n / m))) = 1
    """  # noqa: S608


@rule("info", "Nothing was traded: the price is a quote, or was carried on.", kinds=("bars",))
def zero_volume(scope: Scope) -> str:
    """Find bars without volume; those whose price moved all the same come first."""
    del scope
    return each(
        "(high - low) / nullif(close, 0)",
        "CASE WHEN high > low THEN 'volume 0, though the price moved' ELSE 'volume 0' END",
        "volume = 0",
    )


def _far(where: str) -> str:
    return f"""
    SELECT vt_symbol, "timestamp", previous AS since, z AS value,
        format('{{:+.1f}} %, {{:.0f}} times what is usual', 100 * (exp(move) - 1), z) AS detail
    FROM seen WHERE {where}
    """  # noqa: S608
