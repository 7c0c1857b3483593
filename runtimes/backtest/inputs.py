"""What strategies read beside the bars: columns of lake tables, as they were known at each bar.

A row counts from the moment it was known: the latest of its ``timestamp``, ``available_at`` and
``known_at``, as far as the table has them. Of the rows known the one with the latest ``timestamp``
counts, until a later one is known; of two with one ``timestamp`` the one known later.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse import catalog, query, scan
from lakehouse.lake import Lake
from lakehouse.scan import Where
from lakehouse.schemas import TIME
from lakehouse.source import Source, open_source
from runtimes.engine.arrays import Floats, Ints
from runtimes.engine.errors import EmptyWindowError, instant
from runtimes.strategies.base import Reading, Told
from topology.errors import BadInputError, UnknownNameError, did_you_mean, nearest

KNOWN = ("timestamp", "available_at", "known_at")
SHOWN = 5


def pins(lake: Lake, readings: Iterable[Reading]) -> dict[str, str]:
    """Return the snapshot of each table that is read, and of its revisions as of that snapshot."""
    found: dict[str, str] = {}
    for reading in readings:
        more = query.resolve(
            lake, [reading.table], reading.snapshot_id, optional=[f"{reading.table}_revisions"]
        )
        for table, pin in more.items():
            if found.setdefault(table, pin) != pin:
                raise BadInputError(
                    f"{table} is read at two snapshots, {found[table]} and {pin}.",
                    hint="Read a table at one snapshot in a run.",
                    table=table,
                )
    return found


def check(lake: Lake, readings: Iterable[Reading], symbols: Sequence[str]) -> None:
    """Raise unless every reading can be read and tells something of these symbols.

    ``table_not_found``, ``snapshot_expired`` and ``unknown_name`` name what there is instead,
    ``empty_window`` says that no row is about any of the symbols.
    """
    for reading in readings:
        source = _source(lake, reading, pins(lake, [reading]), symbols)
        count = f"SELECT count(*) AS rows FROM source WHERE {_condition(reading)}"  # noqa: S608
        found = source.rows(count)
        if not found["rows"][0].as_py():
            raise EmptyWindowError(
                f"{reading.table} has no row about any symbol of the universe.",
                hint="Look at its rows with query_sql: vt_symbol is TICKER.EXCHANGE.",
                errors=[_problem("table", reading.table, "It has no row of these symbols.")],
            )


def read(
    lake: Lake,
    reading: Reading,
    pinned: Mapping[str, str],
    *,
    symbols: Sequence[str],
    times: Ints,
) -> Told:
    """Return what ``reading`` told of ``symbols`` (N,) at each of ``times`` (T,), ns UTC.

    Two rows of a symbol with one timestamp, known at one time, are refused: ``where`` must tell
    them apart.
    """
    source = _source(lake, reading, pinned, symbols)
    known = ", ".join(scan.identifier(name) for name in KNOWN if name in source.schema.names)
    column = scan.identifier(reading.column)
    last = dt.datetime.fromtimestamp(int(times[-1]) // 10**9 + 1, dt.UTC).isoformat()
    rows = source.rows(
        f'SELECT vt_symbol, "timestamp", {column}::DOUBLE AS value, greatest({known}) AS known '  # noqa: S608
        f"FROM source WHERE {_condition(reading)} AND \"timestamp\" <= TIMESTAMPTZ '{last}' "
        'ORDER BY vt_symbol, known, "timestamp"'
    )
    values = np.full((times.size, len(symbols)), np.nan)
    of_row = np.zeros((times.size, len(symbols)), dtype=np.int64)
    owners = pc.index_in(rows["vt_symbol"], pa.array(symbols)).to_numpy()
    said = _Rows(
        _nanoseconds(rows["timestamp"]),
        _nanoseconds(rows["known"]),
        rows["value"].to_numpy().astype(np.float64),
    )
    for i, symbol in enumerate(symbols):
        own = slice(*np.searchsorted(owners, [i, i + 1]).tolist())
        mine = _Rows(said.timestamp[own], said.known[own], said.value[own])
        _refuse_twice(reading, symbol, mine)
        _tell(values[:, i], of_row[:, i], times, mine)
    return Told(values, of_row)


class _Rows(NamedTuple):
    """Rows of one symbol or of all, (K,): both times in ns UTC, sorted by when they were known."""

    timestamp: Ints
    known: Ints
    value: Floats


def _tell(values: Floats, of_row: Ints, times: Ints, rows: _Rows) -> None:
    """Write what one symbol's ``rows`` tell at each of ``times`` into (T,) and (T,)."""
    count = rows.known.size
    leads = rows.timestamp == np.maximum.accumulate(rows.timestamp)
    newest = np.maximum.accumulate(np.where(leads, np.arange(count), 0))
    place = np.searchsorted(rows.known, times, side="right") - 1
    there = place >= 0
    chosen = newest[place[there]]
    values[there] = rows.value[chosen]
    of_row[there] = rows.timestamp[chosen]


def _source(
    lake: Lake, reading: Reading, pinned: Mapping[str, str], symbols: Sequence[str]
) -> Source:
    """Return the rows of these symbols; a table or a column that cannot be read is refused."""
    if (table := catalog.find(lake, reading.table)) is not None:
        names = [field.name for field in table.schema().fields]
        _refuse_shape(reading, names)
    source = open_source(
        lake, reading.table, where=Where(symbols=list(symbols)), snapshot_ids=pinned
    )
    kind = source.schema.field(reading.column).type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        raise BadInputError(
            f"{reading.column} of {reading.table} is no column of numbers but of {kind}.",
            hint="Name a column of numbers; describe_table shows them.",
            errors=[_problem("column", reading.column, f"It holds {kind}.")],
        )
    return source


def _refuse_shape(reading: Reading, names: Sequence[str]) -> None:
    """Raise unless the table has rows of symbols and times, and the columns that are named."""
    if lacking := [name for name in ("vt_symbol", "timestamp") if name not in names]:
        raise BadInputError(
            f"{reading.table} has no column {lacking[0]!r}: its rows are not about symbols.",
            hint="Name a table whose rows have vt_symbol and timestamp.",
            errors=[_problem("table", reading.table, f"It has no column {lacking[0]}.")],
        )
    wanted = [("column", reading.column), *(("where", name) for name, _ in reading.where)]
    for key, name in wanted:
        if name not in names:
            problem = f"{reading.table} has no column {name!r}."
            raise UnknownNameError(
                problem,
                hint=did_you_mean(name, names),
                errors=[_problem(key, name, problem) | {"nearest": nearest(name, names)}],
            )


def _condition(reading: Reading) -> str:
    """Return the SQL of what ``where`` asks of a row."""
    parts = [
        f"{scan.identifier(name)} = {scan.quoted(value) if isinstance(value, str) else value}"
        for name, value in reading.where
    ]
    return " AND ".join(parts) or "true"


def _refuse_twice(reading: Reading, symbol: str, rows: _Rows) -> None:
    """Raise where two rows, known at one time, say something of one time."""
    same = (np.diff(rows.timestamp) == 0) & (np.diff(rows.known) == 0)
    if (twice := np.flatnonzero(same)).size:
        when = [instant(int(rows.timestamp[i])) for i in twice[:SHOWN]]
        raise BadInputError(
            f"{reading.table} has several rows of {symbol} at {when[0]}.",
            hint="Say in `where` which are meant, for example where: {run_id: ...}.",
            errors=[_problem("where", dict(reading.where), "Several rows fit.")],
            symbol=symbol,
            timestamps=when,
        )


def _problem(key: str, value: object, problem: str) -> dict[str, object]:
    return {"path": f"strategy.params.{key}", "value": value, "problem": problem}


def _nanoseconds(times: pa.ChunkedArray) -> Ints:
    return np.asarray(times.cast(TIME).cast(pa.int64()).to_numpy() * 1_000)
