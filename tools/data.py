"""The tools of the server ``data``: what is in the lake, reading it, and bringing data in."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from auth.policy import Rule
from tools import (  # noqa: F401  they offer jobs, resources, prompts and completions
    data_completions,
    data_jobs,
    data_language,
    data_pictures,
    data_prompts,
    data_resources,
    exports,
)
from tools import runs as seen
from tools.bars import Adjust, Bars, Revisions, between
from tools.quality import QualityView, look
from tools.registry import Office, tool
from tools.rows import Rows
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
Symbols = Annotated[list[str], Field(min_length=1, max_length=500)]
MostRows = Annotated[int, Field(ge=1, le=10_000)]


@tool(server="data", auth=READ, title="List tables", read_only=True)
def list_tables(
    after: seen.After = None,
    limit: seen.Limit = 50,
    as_of: AsOf = None,
    *,
    office: Office,
    caller: Principal,
) -> TablePage:
    """List the tables of the lake (of those at as_of) with layer, rows and snapshot."""
    del caller
    return tables(office, after=after, limit=limit, as_of=as_of)


@tool(server="data", auth=READ, title="Describe a table", read_only=True)
def describe_table(
    table: Table, as_of: AsOf = None, *, office: Office, caller: Principal
) -> TableView:
    """Return a table's schema, key, rows and, per symbol, the first and last bar (capped)."""
    del caller
    return describe(office, table, as_of)


@tool(server="data", auth=READ, title="Get bars", read_only=True)
def get_bars(
    symbols: Symbols,
    start: Day,
    end: Day,
    table: Table = BARS,
    adjust: Adjust = "none",
    revisions: Annotated[
        Revisions, Field(description="latest: as now known (at as_of); first: as first known")
    ] = "latest",
    as_of: AsOf = None,
    max_rows: MostRows = 5000,
    *,
    office: Office,
    caller: Principal,
) -> Bars:
    """Return bars or quotes between two days, raw or adjusted for splits and dividends."""
    del caller
    return between(
        office,
        symbols,
        start,
        end,
        table=table,
        adjust=adjust,
        revisions=revisions,
        as_of=as_of,
        max_rows=max_rows,
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
    text: Annotated[
        str, Field(max_length=64, description="Part of a symbol or former ticker; empty = all")
    ] = "",
    table: Table = BARS,
    as_of: AsOf = None,
    limit: seen.Limit = 50,
    *,
    office: Office,
    caller: Principal,
) -> SymbolList:
    """Find symbols that have bars, best match first, with their first and last bar."""
    del caller
    return matching(office, text, table=table, limit=limit, as_of=as_of)


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


@tool(server="data", auth=READ, title="Report data quality", read_only=True)
def quality_report(
    table: Table = BARS,
    symbols: Annotated[list[str] | None, Field(max_length=500, description="null = all")] = None,
    start: Annotated[str | None, Field(description="YYYY-MM-DD, inclusive")] = None,
    end: Annotated[str | None, Field(description="YYYY-MM-DD, inclusive")] = None,
    as_of: AsOf = None,
    run_id: Annotated[str | None, Field(description="What this ingest found, as stored")] = None,
    examples: Annotated[int, Field(ge=0, le=200)] = 20,
    *,
    office: Office,
    caller: Principal,
) -> QualityView:
    """Check bars for gaps, stale runs, outliers, bad prices and unexplained splits; worst first."""
    del caller
    return look(
        office,
        table,
        symbols=symbols,
        start=start,
        end=end,
        as_of=as_of,
        run_id=run_id,
        examples=examples,
    )


get_run = seen.offer_get(server="data", kind=KIND, auth=READ, what="data run")
cancel_run = seen.offer_cancel(server="data", kind=KIND, auth=WRITE, what="data run")
