"""Rows as they came become typed bars or quotes, or rejects with a reason: nothing disappears."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.errors import SchemaMismatchError
from lakehouse.providers.base import ROW, Kind, Reading, Resolution
from lakehouse.scan import identifier, quoted
from lakehouse.schemas import QUOTE, TRADE
from topology.errors import BadInputError, did_you_mean, nearest
from topology.symbols import Symbol

REASONS = {
    "bad_symbol": "vt_symbol is not TICKER.EXCHANGE in capitals",
    "bad_time": "timestamp is not a time that exists, written like 2024-01-31T16:00:00Z, "
    "or in a daily table like 2024-01-31",
    "ambiguous_time": "the clock showed this time twice that day, and reading.fold does not say "
    "which is meant",
    "future_time": "the bar ends after it was ingested",
    "missing_value": "a price is empty",
    "not_a_number": "a price or the volume is not a finite number",
    "not_positive": "a price is not above 0, or the volume is below 0",
    "inconsistent": "high is not the highest or low not the lowest price",
    "bad_currency": "currency is not three to five capitals",
    "mixed_zones": "timestamp has no zone, but others of this payload have one",
    "other_currency": "the symbol has another currency in this table, and no redenomination was "
    "declared",
    "reversed_period": "the last day lies before the first",
    "duplicate_key": "the same symbol and timestamp as",
    "wrong_columns": "the line is no row",
}
"""Why a row is rejected; the first that applies is the one that is kept."""

FIRST_YEAR = 1900
SLACK_S = 86_400
"""How far in the future a bar may end: clocks and calendars of the world differ by a day."""
STEP = {"1m": "1 MINUTE", "1h": "1 HOUR", "1d": "1 DAY"}
NUMBERS: Mapping[Kind, tuple[str, ...]] = {"bars": TRADE, "quotes": QUOTE}
_ISO = (
    r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.]\d{1,9})?)?( ?(Z|z|[+-]\d{2}(:?\d{2})?))?)?|\d{8}"
)
_ZONED = r".*:\d{2}([.]\d+)? ?(Z|z|[+-]\d{2}(:?\d{2})?)"
_ALIASES = {"timestamp": ("datetime", "date", "time")}
_HALF_HOUR_ZONES = ("Australia/Lord_Howe", "Australia/LHI")
"""Zones whose clocks go back by half an hour, not by one."""


@dataclass(frozen=True, slots=True)
class Cleaning:
    """The SQL that makes ``raw`` rows, numbered by ``_no`` and ``_row``, typed and judged.

    It gives ``_no, _row, vt_symbol, timestamp``, the numbers of the kind, ``currency, zoned,
    reason``: ``reason`` is null where the row is good, ``zoned`` where there is no time at all.
    ``content`` is the expression for a raw row as JSON. ``unknown`` symbols do not parse.
    """

    sql: str
    parameters: Mapping[str, object]
    content: str
    unknown: pa.Table


def cleaning(
    rows: pa.Table, reading: Reading, *, kind: Kind, resolution: Resolution, now: dt.datetime
) -> Cleaning:
    """Return how to clean ``rows``; a missing column raises ``schema_mismatch``.

    In a table of daily bars midnight without a zone means the day, as where there is no time.
    ``now`` is the time of the ingest.
    """
    named = _named(rows.schema, reading, kind)
    typed = _typed(rows.schema, named, NUMBERS[kind])
    timed = f"SELECT *, {_local(resolution)} AS local FROM ({typed})"  # noqa: S608
    placed = f"SELECT *, {_instant()} AS instant FROM ({timed})"  # noqa: S608
    ended = f'SELECT *, {_ends(reading, resolution)} AS "timestamp" FROM ({placed})'  # noqa: S608
    shown = ", ".join(["_no", ROW, "vt_symbol", '"timestamp"', *NUMBERS[kind], "currency"])
    sql = f"SELECT {shown}, zoned, {_reason(reading, kind)} AS reason FROM ({ended})"  # noqa: S608
    given = {
        "zone": reading.timezone,
        "close": f"{reading.close}:00",
        "symbol": reading.vt_symbol,
        "currency": reading.currency,
        "last": (now + dt.timedelta(seconds=SLACK_S)).isoformat(),
    }
    used = {name: value for name, value in given.items() if f"${name}" in sql}
    unknown = pa.table({"name": pa.array(_unparsed(rows, named, reading), pa.string())})
    theirs = [name for name in rows.schema.names if not name.startswith("_")]
    struct = ", ".join(f"{quoted(name)}: raw.{identifier(name)}" for name in theirs)
    return Cleaning(sql, used, f"to_json({{{struct}}})::VARCHAR", unknown)


def _named(schema: pa.Schema, reading: Reading, kind: Kind) -> dict[str, str]:
    plain = {_plain(name) for name in schema.names}
    optional = {"currency", "bid_size", "ask_size"}
    optional |= {"volume"} if reading.columns.get("volume") == "" else set()
    optional |= {"vt_symbol"} if reading.vt_symbol is not None else set()
    optional |= set(QUOTE) if ("bidclose" in plain) != ("askclose" in plain) else set()
    return named(schema, reading, ("vt_symbol", "timestamp", *NUMBERS[kind], "currency"), optional)


def named(
    schema: pa.Schema, reading: Reading, wanted: Sequence[str], optional: Collection[str]
) -> dict[str, str]:
    """Return our column names with the payload's; an optional one that is absent is left out.

    Names are found by the reading, or by more than case, spaces and underscores.
    """
    theirs = [name for name in schema.names if not name.startswith("_")]
    plain = {_plain(name): name for name in theirs}
    for ours, given in reading.columns.items():
        if given and given not in theirs:
            raise _missing(ours, given, theirs)
    found = {}
    for ours in wanted:
        likely = (_plain(name) for name in (ours, *_ALIASES.get(ours, ())))
        guess = next((plain[name] for name in likely if name in plain), "")
        if name := reading.columns.get(ours, guess):
            found[ours] = name
        elif ours not in optional:
            raise _missing(ours, ours, theirs)
    return found


def _missing(ours: str, theirs: str, names: list[str]) -> SchemaMismatchError:
    extra = {
        "vt_symbol": " Or give reading.vt_symbol for a file of one symbol.",
        "volume": ' Or map it to "" if there is none.',
    }
    return SchemaMismatchError(
        f"The column {theirs[:64]!r} ({ours}) is missing.",
        hint=f"{did_you_mean(theirs[:64], names)} Map it in reading.columns: "
        f"{{{ours}: <name in the file>}}.{extra.get(ours, '')}",
        column=ours,
        nearest=nearest(theirs[:64], names),
        given=names[:50],
    )


def _plain(name: str) -> str:
    return name.casefold().replace(" ", "").replace("_", "")


def _unparsed(rows: pa.Table, named: Mapping[str, str], reading: Reading) -> list[str]:
    """Return the symbols that do not parse."""
    column = named.get("vt_symbol")
    texts = [reading.vt_symbol] if column is None else pc.unique(rows.column(column)).to_pylist()
    return [t for t in {str(text).strip() for text in texts if text is not None} if not parses(t)]


def parses(text: str) -> bool:
    """Tell whether ``text`` is ``TICKER.EXCHANGE`` in capitals."""
    try:
        return str(Symbol.parse(text)) == text
    except BadInputError:
        return False


def _typed(schema: pa.Schema, named: Mapping[str, str], numbers: tuple[str, ...]) -> str:
    """Return the SELECT that turns columns into numbers and texts; what does not parse is null."""
    parts = ["_no", ROW]
    for name in numbers:
        column = identifier(named[name]) if name in named else "NULL"
        text = f"nullif(trim({column}::VARCHAR), '')"
        plain = name in named and _numeric(schema.field(named[name]).type)
        number = f"{column}::DOUBLE" if plain else f"TRY_CAST({text} AS DOUBLE)"
        parts += [f"{number} AS {name}", f"{text} IS NULL AS {name}_empty"]
    for name, constant in (("vt_symbol", "$symbol"), ("currency", "$currency")):
        column = f"{identifier(named[name])}::VARCHAR" if name in named else f"{constant}::VARCHAR"
        parts.append(f"trim({column}) AS {name}")
    time = f"trim({identifier(named['timestamp'])}::VARCHAR)"
    parts += [f"{time} AS t", f"regexp_full_match({time}, '{_ZONED}') AS zoned"]
    return f"SELECT {', '.join(parts)} FROM raw"  # noqa: S608


def _numeric(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _local(resolution: Resolution) -> str:
    """Return the expression for the wall-clock time of the text ``t`` without a zone.

    A day alone is the bar that ends at its close, and no time of a minute or an hour.
    """
    day = "coalesce(TRY_CAST(t AS DATE), try_strptime(t, '%Y%m%d')::DATE) + $close::TIME"
    alone = day if resolution == "1d" else "NULL"
    return (
        f"CASE WHEN NOT regexp_full_match(t, '{_ISO}') OR zoned THEN NULL "
        f"WHEN {_timed(resolution)} THEN TRY_CAST(t AS TIMESTAMP) ELSE {alone} END"
    )


def _timed(resolution: Resolution) -> str:
    """Return the condition that ``t`` without a zone is a time; of days, midnight is none."""
    if resolution != "1d":
        return "contains(t, ':')"
    return "contains(t, ':') AND TRY_CAST(t AS TIMESTAMP)::TIME > '00:00:00'::TIME"


def _instant() -> str:
    """Return the expression for the instant of ``t``; null where there is none."""
    placed = "local AT TIME ZONE $zone::VARCHAR"
    # A clock time that daylight saving skips does not survive the way there and back.
    exists = f"({placed}) AT TIME ZONE $zone::VARCHAR = local"
    return (
        f"CASE WHEN zoned AND regexp_full_match(t, '{_ISO}') THEN TRY_CAST(t AS TIMESTAMPTZ) "
        f"WHEN {exists} THEN {placed} END"
    )


def _ends(reading: Reading, resolution: Resolution) -> str:
    """Return the expression for the bar's end from its ``instant``: which of two, plus a step."""
    again, before = _again(reading, "+"), _again(reading, "-")
    chosen = "instant"
    if reading.fold == "first":
        chosen = f"CASE WHEN {before} THEN instant - {_shift(reading)} ELSE instant END"
    elif reading.fold == "second":
        chosen = f"CASE WHEN {again} THEN instant + {_shift(reading)} ELSE instant END"
    if reading.label == "end":
        return chosen
    step = f"{chosen} + INTERVAL {STEP[resolution]}"
    if resolution == "1d":  # a day of the clock: when it is put forward, 23 hours
        step = f"(({chosen}) AT TIME ZONE $zone::VARCHAR + INTERVAL 1 DAY) AT TIME ZONE $zone"
    # A day's bar that is labelled by its day alone ends at the close all the same.
    return f"CASE WHEN zoned OR {_timed(resolution)} THEN {step} ELSE {chosen} END"


def _shift(reading: Reading) -> str:
    return "INTERVAL 30 MINUTE" if reading.timezone in _HALF_HOUR_ZONES else "INTERVAL 1 HOUR"


def _again(reading: Reading, sign: str) -> str:
    """Return the condition that the clock shows ``local`` once more, an hour on or before."""
    other = f"(instant {sign} {_shift(reading)}) AT TIME ZONE $zone::VARCHAR"
    return f"(NOT zoned AND {other} = local)"


def _reason(reading: Reading, kind: Kind) -> str:
    twice = f"{_again(reading, '+')} OR {_again(reading, '-')}"
    ambiguous = (
        ""
        if reading.fold or reading.timezone == "UTC"
        else (f"WHEN {twice} THEN 'ambiguous_time' ")
    )
    return (
        "CASE WHEN vt_symbol IS NULL OR vt_symbol IN (FROM unknown) THEN 'bad_symbol' "
        f"""WHEN "timestamp" IS NULL OR year("timestamp") < {FIRST_YEAR} THEN 'bad_time' """
        f"""{ambiguous}WHEN "timestamp" > $last::TIMESTAMPTZ THEN 'future_time' """
        f"{_TRADE if kind == 'bars' else _QUOTE} "
        "WHEN NOT regexp_full_match(currency, '[A-Z]{3,5}') OR currency IS NULL "
        "THEN 'bad_currency' END"
    )


_TRADE = """
    WHEN open_empty OR high_empty OR low_empty OR close_empty THEN 'missing_value'
    WHEN open IS NULL OR high IS NULL OR low IS NULL OR close IS NULL
        OR (volume IS NULL AND NOT volume_empty)
        OR NOT isfinite(open + high + low + close + coalesce(volume, 0)) THEN 'not_a_number'
    WHEN least(open, high, low, close) <= 0 OR volume < 0 THEN 'not_positive'
    WHEN high < greatest(open, low, close) OR low > least(open, high, close) THEN 'inconsistent'
"""


def _any(template: str) -> str:
    return " OR ".join(template.format(s=side) for side in ("bid", "ask"))


_SIDE = ("open", "high", "low", "close")
_EMPTY = " AND ".join(f"{{s}}_{part}_empty" for part in _SIDE)
_SOME = " OR ".join(f"{{s}}_{part}_empty" for part in _SIDE)
_NULL = " OR ".join(
    f"({{s}}_{part} IS NULL AND NOT {{s}}_{part}_empty)" for part in (*_SIDE, "size")
)
_SUM = " + ".join(f"coalesce({{s}}_{part}, 0)" for part in (*_SIDE, "size"))
_LEAST = ", ".join(f"{{s}}_{part}" for part in _SIDE)
_QUOTE = (
    f"WHEN ({_EMPTY.format(s='bid')}) AND ({_EMPTY.format(s='ask')}) OR "
    f"{_any(f'(NOT ({_EMPTY}) AND ({_SOME}))')} THEN 'missing_value' "
    f"WHEN {_any(_NULL)} OR NOT isfinite({_SUM.format(s='bid')} + {_SUM.format(s='ask')}) "
    "THEN 'not_a_number' "
    f"WHEN {_any(f'least({_LEAST}) <= 0 OR {{s}}_size < 0')} THEN 'not_positive' "
    f"WHEN {_any('{s}_high < greatest({s}_open, {s}_low, {s}_close)')} OR "
    f"{_any('{s}_low > least({s}_open, {s}_high, {s}_close)')} THEN 'inconsistent'"
)
"""Of quotes one side may be absent, but not in part."""
