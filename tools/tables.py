"""Tables of the lake as a caller sees them: lists, schemas, coverage, snapshots, symbols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from tools.registry import Office
from topology.clock import rfc3339
from topology.errors import BadInputError, nearest

if TYPE_CHECKING:  # the lake's libraries load with the first call, not with the server
    from lakehouse.about import Description, SnapshotInfo
    from lakehouse.identity import Ticker
    from lakehouse.lake import Lake
    from lakehouse.query import Coverage

MOST_SYMBOLS = 200


class Frozen(BaseModel):
    """A result that does not change."""

    model_config = ConfigDict(frozen=True)


class TableRow(Frozen):
    """One table: its layer, size and newest snapshot (null before the first append)."""

    table: str
    layer: str
    rows: int
    snapshot_id: str | None


class TablePage(Frozen):
    """Tables by name; `next` goes into `after`, null on the last page."""

    tables: list[TableRow]
    next: str | None


class ColumnView(Frozen):
    """A column of a table."""

    name: str
    type: str
    required: bool


class SymbolRow(Frozen):
    """What a table of bars holds of one symbol."""

    vt_symbol: str
    first: str
    last: str
    rows: int


class TableView(TableRow):
    """A table's columns, key and, for bars, what it holds of each symbol (the first 200)."""

    columns: list[ColumnView]
    key: list[str]
    partitions: list[str]
    bytes: int
    symbols: int | None
    coverage: list[SymbolRow] | None


class FoundSymbol(SymbolRow):
    """A symbol and the other names that it bore, ``TICKER.EXCHANGE from..to``."""

    tickers: list[str]


class SymbolList(Frozen):
    """Symbols that have bars; ``total`` counts all matches."""

    symbols: list[FoundSymbol]
    total: int


class SnapshotRow(Frozen):
    """One commit to a table, and the run and spec behind it."""

    snapshot_id: str
    at: str
    operation: str
    rows_added: int
    rows_total: int
    run_id: str | None
    spec_hash: str | None


class SnapshotPage(Frozen):
    """Snapshots, newest first; `next` goes into `after`, null on the last page."""

    snapshots: list[SnapshotRow]
    next: str | None


def tables(office: Office, *, after: str | None, limit: int, as_of: str | None = None) -> TablePage:
    """Return a page of tables; as of a time or snapshot those that can be read as of it."""
    from lakehouse import asof, query

    there: Mapping[str, str | None] = (
        dict.fromkeys(query.tables(office.lake))
        if as_of is None
        else query.standing(office.lake, as_of)
    )
    timed = asof.time_of(as_of) is not None
    names = [name for name in sorted(there) if after is None or name > after]
    rows = [_row(office, name, as_of if timed else there[name]) for name in names[:limit]]
    return TablePage(tables=rows, next=names[limit - 1] if len(names) > limit else None)


def describe(office: Office, table: str, as_of: str | None = None) -> TableView:
    """Return what a table is and what it holds; as of a time its bars until then are counted."""
    from lakehouse import about

    found = about.describe(office.lake, table, as_of=as_of)
    columns = [ColumnView(name=c.name, type=c.type, required=c.required) for c in found.columns]
    held = coverage(office, table, as_of) if _has_bars(columns) and found.rows else None
    rows = {"rows": sum(row.rows for row in held)} if held is not None else {}
    return TableView(
        **{**_head(found), **rows},
        columns=columns,
        key=list(found.key),
        partitions=list(found.partitions),
        bytes=found.bytes,
        symbols=None if held is None else len(held),
        coverage=None if held is None else held[:MOST_SYMBOLS],
    )


def coverage(office: Office, table: str, as_of: str | None = None) -> list[SymbolRow]:
    """Return what a table of bars holds, one row per symbol."""
    return [_symbol(row) for row in _held(office, table, as_of)]


def matching(
    office: Office, text: str, *, table: str, limit: int, as_of: str | None = None
) -> SymbolList:
    """Return symbols that begin with ``text``, then those that hold it; failing both, similar.

    Former tickers count: who looks for the old name finds the symbol that bore it.
    """
    held = {row.vt_symbol: row for row in _held(office, table, as_of)}
    names = {name: name for name in held}
    former = _former(office, table, held, as_of)
    names |= {fact.name: fact.vt_symbol for facts in former.values() for fact in facts} | names
    wanted = text.strip().upper()
    found = sorted(
        (name for name in names if wanted in name),
        key=lambda name: (not name.startswith(wanted), name),
    )
    symbols = list(
        dict.fromkeys(names[name] for name in found or nearest(wanted, names, count=limit))
    )
    return SymbolList(
        symbols=[_found(held[symbol], former.get(symbol, ())) for symbol in symbols[:limit]],
        total=len(symbols),
    )


def _former(
    office: Office, table: str, held: Mapping[str, Coverage], as_of: str | None
) -> dict[str, list[Ticker]]:
    """Return the other names of the symbols that have rows."""
    from lakehouse import identity

    former: dict[str, list[Ticker]] = {}
    for fact in identity.tickers(office.lake, table, as_of=as_of):
        if fact.vt_symbol in held and fact.name != fact.vt_symbol:
            former.setdefault(fact.vt_symbol, []).append(fact)
    return former


def snapshots(office: Office, table: str, *, after: str | None, limit: int) -> SnapshotPage:
    """Return a page of a table's snapshots."""
    from lakehouse import about

    rest = _behind(about.snapshots(office.lake, table), after)
    return SnapshotPage(
        snapshots=[
            SnapshotRow(
                snapshot_id=row.snapshot_id,
                at=rfc3339(row.at),
                operation=row.operation,
                rows_added=row.rows_added,
                rows_total=row.rows_total,
                run_id=row.run_id,
                spec_hash=row.spec_sha256,
            )
            for row in rest[:limit]
        ],
        next=rest[limit - 1].snapshot_id if len(rest) > limit else None,
    )


def _behind(rows: Sequence[SnapshotInfo], after: str | None) -> Sequence[SnapshotInfo]:
    if after is None:
        return rows
    places = [index for index, row in enumerate(rows) if row.snapshot_id == after]
    if not places:
        raise BadInputError(
            f"{after[:64]!r} is no cursor of this table.",
            hint="Pass `next` of the page before, or leave `after` out.",
            errors=[{"path": "after", "value": after[:64], "problem": "This is no cursor."}],
        )
    return rows[places[0] + 1 :]


def _has_bars(columns: Sequence[ColumnView]) -> bool:
    names = {column.name for column in columns}
    return {"vt_symbol", "timestamp"} <= names and bool({"close", "bid_close"} & names)


def _row(office: Office, table: str, as_of: str | None) -> TableRow:
    """Return a line of the list; the rows as of a time are counted as `describe` counts them."""
    from lakehouse import about, asof

    if asof.time_of(as_of) is None:
        return TableRow(**_head(about.describe(office.lake, table, as_of=as_of)))
    found = describe(office, table, as_of)
    return TableRow(**{name: getattr(found, name) for name in TableRow.model_fields})


def _head(found: Description) -> dict[str, Any]:
    return {
        "table": found.table,
        "layer": found.layer,
        "rows": found.rows,
        "snapshot_id": found.snapshot.snapshot_id if found.snapshot else None,
    }


def _held(office: Office, table: str, as_of: str | None) -> Sequence[Coverage]:
    """Return a table's coverage; as it is now it is read once for each of its snapshots."""
    from lakehouse import query

    if as_of is not None:
        return query.coverage(office.lake, table, as_of=as_of)
    return _at(office.lake, table, query.current_snapshot(office.lake, table))


@lru_cache(maxsize=16)
def _at(lake: Lake, table: str, snapshot_id: str | None) -> Sequence[Coverage]:
    from lakehouse import query

    del snapshot_id  # the key: another snapshot may hold more
    return tuple(query.coverage(lake, table))


def _found(row: Coverage, former: Sequence[Ticker]) -> FoundSymbol:
    names = [f"{one.name} {one.valid_from}..{one.valid_to or ''}" for one in former]
    return FoundSymbol(**_symbol(row).model_dump(), tickers=names)


def _symbol(row: Coverage) -> SymbolRow:
    return SymbolRow(
        vt_symbol=row.vt_symbol, first=rfc3339(row.first), last=rfc3339(row.last), rows=row.rows
    )
