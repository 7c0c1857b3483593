"""The tools of the server ``data``: what is in the lake, reading it, and bringing data in."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import Field

from auth.policy import Rule
from tools import data_resources, exports  # noqa: F401  they offer this server's resources
from tools import runs as seen
from tools.intake import submit
from tools.registry import Office, Report, tool
from tools.rows import Rows, capped
from tools.sql import answer
from tools.tables import (
    SnapshotPage,
    SymbolList,
    TablePage,
    TableView,
    describe,
    matching,
    snapshots,
    tables,
)
from topology.errors import BadInputError
from topology.principal import Principal

KIND = "data"
BARS = "alphaswarm_silver_market.bars_1d"
READ = Rule(scopes=("data:read",), actor="any")
WRITE = Rule(scopes=("data:write",), actor="any")

Table = Annotated[str, Field(description="NAMESPACE.TABLE, as list_tables names it")]
AsOf = Annotated[
    str | None, Field(description="Snapshot id or RFC 3339 time; null reads what is newest")
]
Day = Annotated[str, Field(description="YYYY-MM-DD or RFC 3339, inclusive")]
Adjust = Literal["none", "split", "total"]
Symbols = Annotated[list[str], Field(min_length=1, max_length=500)]
MostRows = Annotated[int, Field(ge=1, le=10_000)]


class Bars(Rows):
    """Bars; ``unadjusted`` names symbols whose prices stay raw, because no factors are known."""

    unadjusted: list[str] = Field(default_factory=list)


@tool(server="data", auth=WRITE, title="Ingest data", read_only=False, job=True)
async def ingest(
    source: Annotated[
        str, Field(description="Provider name (`sample`), or a file in the inbox (CSV, Parquet)")
    ],
    name: Annotated[str | None, Field(description="Spec name; null = from source")] = None,
    table: Annotated[str, Field(description="Silver table of bars")] = BARS,
    symbols: Annotated[list[str] | None, Field(description="null = all")] = None,
    reading: Annotated[
        dict[str, Any] | None,
        Field(
            description="For files: columns {ours: theirs}, timezone, close, vt_symbol, currency"
        ),
    ] = None,
    dispatch_key: seen.DispatchKey = None,
    *,
    dry_run: Annotated[bool, Field(description="Only check; writes nothing")] = False,
    office: Office,
    caller: Principal,
) -> seen.Submitted:
    """Bring a provider's data or a file into bronze as it is and silver typed and deduplicated.

    Returns a run handle at once; rejected rows are counted and kept with the reason.
    """
    body = {
        "name": name,
        "source": source,
        "table": table,
        "symbols": symbols,
        "reading": reading or {},
    }
    return await asyncio.to_thread(
        submit, office, caller, body, dry_run=dry_run, dispatch_key=dispatch_key
    )


@tool(server="data", auth=READ, title="List tables", read_only=True)
def list_tables(
    after: seen.After = None, limit: seen.Limit = 50, *, office: Office, caller: Principal
) -> TablePage:
    """List the tables of the lake with layer, rows and newest snapshot."""
    del caller
    return tables(office, after=after, limit=limit)


@tool(server="data", auth=READ, title="Describe a table", read_only=True)
def describe_table(table: Table, *, office: Office, caller: Principal) -> TableView:
    """Return a table's schema, key, rows and, per symbol, the first and last bar (capped)."""
    del caller
    return describe(office, table)


@tool(server="data", auth=READ, title="Get bars", read_only=True)
async def get_bars(
    symbols: Symbols,
    start: Day,
    end: Day,
    table: Table = BARS,
    adjust: Adjust = "none",
    as_of: AsOf = None,
    max_rows: MostRows = 5000,
    *,
    office: Office,
    caller: Principal,
) -> Bars:
    """Return bars of some symbols between two days, raw or adjusted for splits and dividends."""
    del caller
    first, last = day(start, "start"), day(end, "end")
    if last < first:
        raise BadInputError(
            f"end ({end[:40]}) lies before start ({start[:40]}).",
            hint="Swap them.",
            errors=[{"path": "end", "value": end[:40], "problem": "It lies before start."}],
        )
    return await asyncio.to_thread(
        _bars, office, symbols, first, last, table, adjust, as_of, max_rows
    )


@tool(server="data", auth=READ, title="Query with SQL", read_only=True)
async def query_sql(
    sql: Annotated[str, Field(min_length=1, max_length=20_000, description="One SELECT (DuckDB)")],
    max_rows: MostRows = 1000,
    as_of: AsOf = None,
    *,
    office: Office,
    caller: Principal,
) -> Rows:
    """Run one SELECT over the lake's tables in a sandbox with time and memory limits."""
    return await answer(office, caller, sql, max_rows=max_rows, as_of=as_of)


@tool(server="data", auth=READ, title="Search symbols", read_only=True)
def search_symbols(
    text: Annotated[str, Field(max_length=64, description="Part of a symbol; empty = all")] = "",
    table: Table = BARS,
    limit: seen.Limit = 50,
    *,
    office: Office,
    caller: Principal,
) -> SymbolList:
    """Find symbols that have bars, best match first, with their first and last bar."""
    del caller
    return matching(office, text, table=table, limit=limit)


@tool(server="data", auth=READ, title="List snapshots", read_only=True)
def list_snapshots(
    table: Table,
    after: seen.After = None,
    limit: seen.Limit = 50,
    *,
    office: Office,
    caller: Principal,
) -> SnapshotPage:
    """List a table's snapshots, newest first; any of them may be read with as_of."""
    del caller
    return snapshots(office, table, after=after, limit=limit)


@tool(server="data", auth=READ, title="Get a data run", read_only=True)
async def get_run(
    run_id: seen.RunId,
    wait_s: seen.WaitS = 0,
    *,
    office: Office,
    caller: Principal,
    report: Report | None = None,
) -> seen.RunView:
    """Return a data run, after waiting up to wait_s for its end; reports progress."""
    del caller
    return await seen.get(office, run_id, kind=KIND, wait_s=wait_s, report=report)


@tool(
    server="data",
    auth=WRITE,
    title="Cancel a data run",
    read_only=False,
    destructive=True,
    idempotent=True,
)
def cancel_run(run_id: seen.RunId, *, office: Office, caller: Principal) -> seen.RunView:
    """Ask for the end of a data run; a queued one ends at once, an ended one stays as it is."""
    return seen.cancel(office, caller, run_id, kind=KIND)


def day(text: str, path: str) -> dt.date:
    """Return the UTC day of a date or an RFC 3339 time."""
    try:
        if len(text) == len("YYYY-MM-DD"):
            return dt.date.fromisoformat(text)
        moment = dt.datetime.fromisoformat(text)
        known = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        return known.astimezone(dt.UTC).date()
    except (ValueError, OverflowError) as error:
        raise BadInputError(
            f"{text[:40]!r} is not a day.",
            hint="Write YYYY-MM-DD, for example 2012-12-31.",
            errors=[{"path": path, "value": text[:40], "problem": "This is no day."}],
        ) from error


def _bars(
    office: Office,
    symbols: list[str],
    start: dt.date,
    end: dt.date,
    table: str,
    adjust: Adjust,
    as_of: str | None,
    max_rows: int,
) -> Bars:
    from lakehouse import query
    from runtimes.backtest.bars import companions

    beside = companions(table, adjust=adjust != "none")
    snapshot_ids = query.resolve(office.lake, [table], as_of=as_of, optional=beside)
    found = query.bars(
        office.lake, symbols, start, end, table=table, adjust=adjust, snapshot_ids=snapshot_ids
    )
    head = found.slice(0, max_rows)
    shown = capped(
        found.column_names,
        zip(*(column.to_pylist() for column in head.columns), strict=True),
        most_rows=max_rows,
        snapshot_ids=snapshot_ids,
        more=found.num_rows > max_rows,
    )
    raw = (found.schema.metadata or {}).get(query.UNADJUSTED, b"").decode()
    return Bars(**shown.model_dump(), unadjusted=[name for name in raw.split(",") if name])
