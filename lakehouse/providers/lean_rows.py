"""Lean's rows as bars: prices in money, ends in UTC, and the identity behind the ticker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from lakehouse import scan
from lakehouse.providers.base import Resolution
from lakehouse.providers.lean_hours import Hours, Markets
from lakehouse.providers.lean_identity import Identities
from lakehouse.providers.lean_layout import COLUMNS, Tick
from lakehouse.scan import identifier

SCALES = {"equity": 10_000.0}
"""Equity prices are deci-cents: one hundredth of a cent; the others are as quoted."""
_AT = {
    "1m": "try_strptime(day, '%Y%m%d') + to_milliseconds(ms)",
    "1h": "try_strptime(trim(time), '%Y%m%d %H:%M')",
    "1d": "try_strptime(trim(time), '%Y%m%d %H:%M')",
}
_END = {
    "1m": "instant + INTERVAL 1 MINUTE",
    "1h": "instant + INTERVAL 1 HOUR",
    # A day with a session ends when it closes, any other with the day itself.
    "1d": "CASE WHEN sessions THEN timezone(exchange_zone, date_trunc('day', local) "
    "+ coalesce(e.session_end, c.session_end)::INTERVAL) "
    "ELSE timezone(zone, local + INTERVAL 1 DAY) END",
}


_TEXT, _NUMBER = pa.string(), pa.int64()
_PLACE = [("security", _TEXT), ("market", _TEXT), ("ticker", _TEXT)]
_NAMES = [*_PLACE, ("first", pa.date32()), ("last", pa.date32()), ("vt_symbol", _TEXT)]
_TICKERS = [*_PLACE, ("id", _NUMBER), ("currency", _TEXT), ("scale", pa.float64())]
_HOURS = [("id", _NUMBER), ("zone", _TEXT), ("exchange_zone", _TEXT), ("sessions", pa.bool_())]
_CLOSES = [("id", _NUMBER), ("weekday", _NUMBER), ("session_end", _TEXT)]
_EARLY = [("id", _NUMBER), ("date", pa.date32()), ("session_end", _TEXT)]


@dataclass(frozen=True, slots=True)
class Facts:
    """Tables that the rows are joined with: who a ticker was, and what its market says."""

    names: pa.Table
    tickers: pa.Table
    hours: pa.Table
    closes: pa.Table
    early: pa.Table


Place = tuple[str, str, str]
"""Security type, market and ticker."""


def facts(
    places: Iterable[Place], identities: Mapping[tuple[str, str], Identities], markets: Markets
) -> Facts:
    """Return what is known of the tickers; an unknown market or currency raises ``not_found``."""
    names: list[dict[str, object]] = []
    tickers: list[dict[str, object]] = []
    kinds: list[Hours] = []
    for security, market, ticker in places:
        key = {"security": security, "market": market, "ticker": ticker}
        for claim in identities[security, market].of(ticker):
            told = {"first": claim.first, "last": claim.last, "vt_symbol": claim.vt_symbol}
            names.append(key | told)
        hours = markets.of(security, market, ticker)
        if hours not in kinds:
            kinds.append(hours)
        currency = markets.currency(security, market, ticker)
        scale = SCALES.get(security, 1.0)
        tickers.append(key | {"id": kinds.index(hours), "currency": currency, "scale": scale})
    return Facts(_table(names, _NAMES), _table(tickers, _TICKERS), *_sessions(kinds))


def _sessions(kinds: list[Hours]) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Return the hours by number, their closes by weekday and their early closes by date."""
    hours: list[dict[str, object]] = []
    closes: list[dict[str, object]] = []
    early: list[dict[str, object]] = []
    for number, kind in enumerate(kinds):
        zones = {"zone": kind.zone, "exchange_zone": kind.exchange_zone}
        hours.append({"id": number, **zones, "sessions": bool(kind.closes)})
        for weekday, close in kind.closes.items():
            closes.append({"id": number, "weekday": weekday, "session_end": str(close)})
        for date, close in kind.early.items():
            early.append({"id": number, "date": date, "session_end": str(close)})
    return _table(hours, _HOURS), _table(closes, _CLOSES), _table(early, _EARLY)


def typed(rows: pa.Table, facts: Facts, *, resolution: Resolution, tick: Tick) -> pa.Table:
    """Return the rows as bars, columns that begin with an underscore unchanged.

    A value that is no number becomes NaN and an empty one null; a time that does not exist, or
    that exists twice, null.
    """
    kept = [f"placed.{identifier(name)}" for name in rows.schema.names if name.startswith("_")]
    values = [_value(name) for name in COLUMNS[tick][1:]]
    sql = f"""
        WITH placed AS (
            SELECT raw.*, id, currency, scale, {_AT[resolution]} AS local
            FROM (SELECT *, CASE WHEN TRY_CAST(time AS DOUBLE) BETWEEN 0 AND 86399999
                THEN TRY_CAST(time AS DOUBLE)::BIGINT END AS ms FROM raw) raw
            JOIN tickers USING (security, market, ticker)
        ), timed AS (
            SELECT placed.*, zone, exchange_zone, sessions, timezone(zone, local) AS instant
            FROM placed JOIN hours USING (id)
        )
        SELECT {", ".join([*kept, *values]).replace("placed.", "timed.")}, currency,
            coalesce(n.vt_symbol, timed.ticker || '.' || upper(timed.market)) AS vt_symbol,
            CASE WHEN timezone(zone, instant) = local
                AND timezone(zone, instant + INTERVAL 1 HOUR) <> local
                AND timezone(zone, instant - INTERVAL 1 HOUR) <> local
            THEN {_END[resolution]} END AS "timestamp"
        FROM timed
        LEFT JOIN names n ON n.security = timed.security AND n.market = timed.market
            AND n.ticker = timed.ticker AND local::DATE BETWEEN n.first AND n.last
        LEFT JOIN closes c ON c.id = timed.id AND c.weekday = isodow(local) - 1
        LEFT JOIN early e ON e.id = timed.id AND e.date = local::DATE
    """  # noqa: S608 - our own names and expressions
    sources = {
        "raw": rows,
        "names": facts.names,
        "tickers": facts.tickers,
        "hours": facts.hours,
        "closes": facts.closes,
        "early": facts.early,
    }
    return scan.select(sql, sources)


def _value(name: str) -> str:
    """Return the expression of a number; sizes and volumes are not scaled."""
    text = f"nullif(trim({name}), '')"
    parsed = f"coalesce(TRY_CAST({text} AS DOUBLE), 'nan'::DOUBLE)"
    number = f"CASE WHEN {text} IS NOT NULL THEN {parsed} END"
    if name in ("volume", "bid_size", "ask_size"):
        side = f"{name[:3]}_open"
        absent = f"nullif(trim({side}), '') IS NULL" if name != "volume" else "false"
        return f"CASE WHEN NOT {absent} THEN {number} END AS {name}"
    return f"{number} / scale AS {name}"


def _table(rows: list[dict[str, object]], columns: list[tuple[str, pa.DataType]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=pa.schema(columns))
