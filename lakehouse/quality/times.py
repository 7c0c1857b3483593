"""Rules on when bars are: against the exchange's calendar, the clock, and one another."""

from __future__ import annotations

from lakehouse.quality.rule import INTRADAY, Scope, each, rule

LACKING = 0.05
"""Share of a session's bars that must be missing before it is told."""
AROUND_H = 8
"""Hours before the open or after the close that extended trading may reach (New York: 5.5, 4)."""
SLACK_S = 86_400
"""How far in the future a bar may end, as `lakehouse.clean` has it."""
NEAREST_S = {"1h": 1_800, "1m": 60}
"""Seconds that two bars lie apart at least: the last hour of a session may be half a one."""

_CLOCK = "strftime({}, '%Y-%m-%d %H:%M') || ' UTC'"


@rule("error", "A bar of the future cannot have been traded: a clock or a time zone is wrong.")
def future_bar(scope: Scope) -> str:
    """Find bars that end more than a day after they were looked at."""
    del scope
    return each(
        'epoch("timestamp" - (SELECT now FROM told)) / 86400',
        "'looked at on ' || strftime((SELECT now FROM told), '%Y-%m-%d')",
        f'"timestamp" > (SELECT now FROM told) + INTERVAL {SLACK_S} SECOND',  # noqa: S608
    )


@rule("error", "Two bars of one period, often of two sources, count its move and volume twice.")
def double_bar(scope: Scope) -> str:
    """Find bars that begin before the one before has ended."""
    near = (
        "day = day_before"
        if scope.daily
        else f'epoch("timestamp" - previous) < {NEAREST_S[scope.resolution]}'
    )
    return each(
        "abs(coalesce(close / nullif(close_before, 0) - 1, 0))",
        f"format('another one ends {{}}, from {{}} and {{}}', {_CLOCK.format('previous')}, "
        "source_before, source)",
        near,
    )


@rule(
    "warning",
    "A session is missing between a symbol's bars: returns span more than it seems.",
    calendar=True,
)
def missing_sessions(scope: Scope) -> str:
    """Find sessions of the exchange without a bar, between two bars of a symbol."""
    del scope
    return """
    WITH steps AS (
        SELECT vt_symbol, calendar, "timestamp", ordinal,
            lag("timestamp") OVER same AS since, lag(ordinal) OVER same AS ordinal_before
        FROM marks WINDOW same AS (PARTITION BY vt_symbol ORDER BY "timestamp")
    )
    SELECT vt_symbol, "timestamp", since, (t.ordinal - ordinal_before - 1)::DOUBLE AS value,
        CASE WHEN t.ordinal - ordinal_before = 2 THEN format('no bar on {}', a.day)
        ELSE format('{} sessions from {} to {}', t.ordinal - ordinal_before - 1, a.day, b.day) END
            AS detail
    FROM steps t
    JOIN sessions a ON a.calendar = t.calendar AND a.ordinal = t.ordinal_before + 1
    JOIN sessions b ON b.calendar = t.calendar AND b.ordinal = t.ordinal - 1
    WHERE t.ordinal - ordinal_before > 1
    """


@rule(
    "info",
    "Bars are missing inside a session: nothing was traded, or nothing was recorded.",
    resolutions=INTRADAY,
    calendar=True,
)
def missing_bars(scope: Scope) -> str:
    """Find sessions with fewer bars than the exchange's hours have room for.

    A symbol's first and last session are left out: it may have come and gone within them.
    """
    return f"""
    WITH held AS (
        SELECT vt_symbol, s.calendar, s.ordinal, count(*) AS bars FROM seen
        JOIN sessions s USING (calendar, ordinal) WHERE "timestamp" <= s.closes
        GROUP BY vt_symbol, s.calendar, s.ordinal
    )
    SELECT h.vt_symbol, s.closes AS "timestamp", s.opens AS since,
        1 - bars / s.bars_{scope.resolution} AS value,
        format('{{}} of {{:.0f}} bars on {{}}', bars, s.bars_{scope.resolution}, s.day) AS detail
    FROM held h JOIN sessions s USING (calendar, ordinal) JOIN lives l USING (vt_symbol)
    WHERE bars < {1 - LACKING} * s.bars_{scope.resolution}
        AND l.first < s.opens AND l.last > s.closes
    """  # noqa: S608


@rule(
    "warning",
    "The exchange was closed: a wrong day, a wrong time zone, or carried-on prices.",
    calendar=True,
)
def closed_day(scope: Scope) -> str:
    """Find bars on a day without a session, hours away from any."""
    away = (
        "ordinal IS NOT NULL AND session_day <> day "
        "AND NOT coalesce(next_opens::DATE <= day, false)"
        if scope.daily
        else f"{_OUTSIDE} AND NOT {_AROUND}"
    )
    return each("1", "format('no session on {}', day)", away)


@rule(
    "info",
    "Trading before the open and after the close is thin.",
    resolutions=INTRADAY,
    calendar=True,
)
def outside_hours(scope: Scope) -> str:
    """Find bars before the session opens or after it closes, within eight hours."""
    del scope
    return each(
        'abs(epoch("timestamp" - session_closes)) / 3600',
        f"'the last session ended ' || {_CLOCK.format('session_closes')}",
        f"{_OUTSIDE} AND {_AROUND}",
    )


@rule(
    "warning",
    "A bar that ends before its exchange closes shows a strategy the close too early.",
    resolutions=("1d",),
    calendar=True,
)
def ends_early(scope: Scope) -> str:
    """Find daily bars that end before the session does: ``timezone`` or ``close`` was not told."""
    del scope
    return each(
        'epoch(session_closes - "timestamp") / 3600',
        f"format('ends {{}}, the session {{}}', {_CLOCK.format(chr(34) + 'timestamp' + chr(34))}, "
        f"{_CLOCK.format('session_closes')})",
        'session_day = day AND "timestamp" < session_closes',
    )


_OUTSIDE = 'ordinal IS NOT NULL AND "timestamp" > session_closes'
_AROUND = (
    f'("timestamp" <= session_closes + INTERVAL {AROUND_H} HOUR '
    f'OR coalesce("timestamp" > next_opens - INTERVAL {AROUND_H} HOUR, false))'
)
