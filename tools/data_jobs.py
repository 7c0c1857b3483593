"""The tools of ``data`` that start long work: ingest, features, export; each returns a handle."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import Field

from auth.policy import Rule
from tools import runs as seen
from tools.bars import day
from tools.intake import submit
from tools.registry import Office, tool
from tools.submitting import parsed, started
from tools.tables import coverage
from topology.errors import BadInputError
from topology.principal import Principal

BARS = "alphaswarm_silver_market.bars_1d"
WRITE = Rule(scopes=("data:write",), actor="any")

Name = Annotated[str | None, Field(description="Spec name; null = derived")]
Table = Annotated[str, Field(description="NAMESPACE.TABLE")]
Day = Annotated[str | None, Field(description="YYYY-MM-DD, inclusive")]
AsOf = Annotated[str | None, Field(description="Snapshot id or RFC 3339 time; null = newest")]
Adjust = Literal["none", "split", "total"]
DryRun = Annotated[bool, Field(description="Only check; writes nothing")]
Symbols = Annotated[list[str] | None, Field(description="null = all")]


@tool(server="data", auth=WRITE, title="Ingest data", read_only=False, job=True)
async def ingest(
    source: Annotated[
        str, Field(description="A provider (data://providers), or a file or folder of the inbox")
    ],
    name: Name = None,
    table: Annotated[str, Field(description="Silver table of bars or quotes")] = BARS,
    symbols: Symbols = None,
    start: Day = None,
    end: Day = None,
    reading: Annotated[
        dict[str, Any] | None,
        Field(
            description="For files: columns {ours: theirs}, timezone, close, vt_symbol, currency"
        ),
    ] = None,
    dispatch_key: seen.DispatchKey = None,
    *,
    dry_run: DryRun = False,
    office: Office,
    caller: Principal,
) -> seen.Submitted:
    """Bring a provider's data or files into bronze as they are and silver typed and deduplicated.

    Returns a run handle at once; rejected rows are counted and kept with the reason.
    """
    body = {
        "name": name,
        "source": source,
        "table": table,
        "symbols": symbols,
        "start": start,
        "end": end,
        "reading": reading or {},
    }
    return await asyncio.to_thread(
        submit, office, caller, body, dry_run=dry_run, dispatch_key=dispatch_key
    )


@tool(server="data", auth=WRITE, title="Compute features", read_only=False, job=True)
async def compute_features(
    start: Annotated[str, Field(description="YYYY-MM-DD, inclusive")],
    end: Annotated[str, Field(description="YYYY-MM-DD, inclusive")],
    symbols: list[str] | None = None,
    universe: Annotated[str | None, Field(description="Point-in-time, for symbols")] = None,
    expressions: Annotated[dict[str, str] | None, Field(description="{name: expression}")] = None,
    feature_set: Annotated[str | None, Field(description="alpha158, alpha360")] = None,
    labels: Annotated[
        dict[str, str] | None, Field(description="As expressions; may look ahead: Ref($close,-1)")
    ] = None,
    table: Table = BARS,
    adjust: Adjust = "total",
    as_of: AsOf = None,
    name: Name = None,
    dispatch_key: seen.DispatchKey = None,
    *,
    dry_run: DryRun = False,
    office: Office,
    caller: Principal,
) -> seen.Submitted:
    """Compute expressions such as Mean($close,5)/$close, or a named set, to a gold table.

    Operators: data://operators. Returns a run handle; wrong expressions are refused at once.
    """
    body = {
        "task": "features",
        "name": name or (feature_set or "features"),
        "universe": {"symbols": symbols} if universe is None else {"name": universe},
        "data": {"table": table, "start": start, "end": end, "adjust": adjust},
        "as_of": as_of,
        "set": feature_set,
        "expressions": expressions,
        "labels": labels,
    }

    def work() -> seen.Submitted:
        if universe is not None and symbols is not None:
            raise BadInputError(
                "symbols and universe say the same thing twice.", hint="Give one of them."
            )
        spec = parsed(office, body)
        if universe is not None:
            from lakehouse import universe as memberships

            days = day(start, "start"), day(end, "end")
            memberships.members(office.lake, universe, *days, table=table, as_of=as_of)
        _refuse_unknown(office, table, symbols or [], start, end, as_of)
        return started(
            office, caller, spec, action="features", dry_run=dry_run, dispatch_key=dispatch_key
        )

    return await asyncio.to_thread(work)


@tool(server="data", auth=WRITE, title="Export a table", read_only=False, job=True)
async def export_table(
    table: Table,
    columns: Annotated[list[str] | None, Field(description="null = all")] = None,
    symbols: Symbols = None,
    start: Day = None,
    end: Day = None,
    as_of: AsOf = None,
    adjust: Adjust = "none",
    revisions: Annotated[
        Literal["latest", "first"], Field(description="Bars as now known, or as first known")
    ] = "latest",
    name: Name = None,
    dispatch_key: seen.DispatchKey = None,
    *,
    dry_run: DryRun = False,
    office: Office,
    caller: Principal,
) -> seen.Submitted:
    """Write rows of a table to one Parquet file, kept for a week as data://exports/{run_id}.

    Returns a run handle at once; the resource has the address for a download with ranges.
    """
    body = {
        "task": "export",
        "name": name or f"export-{table.partition('.')[2] or 'table'}"[:64],
        "table": table,
        "columns": columns,
        "symbols": symbols,
        "start": start,
        "end": end,
        "as_of": as_of,
        "adjust": adjust,
        "revisions": revisions,
    }

    def work() -> seen.Submitted:
        from lakehouse import export

        spec = parsed(office, body)
        wanted = export.Wanted(
            **{one.name: getattr(spec, one.name) for one in fields(export.Wanted)}
        )
        export.check(office.lake, wanted)
        return started(
            office, caller, spec, action="export", dry_run=dry_run, dispatch_key=dispatch_key
        )

    return await asyncio.to_thread(work)


def _refuse_unknown(
    office: Office, table: str, symbols: Sequence[str], start: str, end: str, as_of: str | None
) -> None:
    """Raise ``unknown_name`` for a symbol that has no bars and never had; see `identity`."""
    from lakehouse import identity

    known = [row.vt_symbol for row in coverage(office, table)]
    identity.resolved(
        office.lake, table, symbols, known, day(start, "start"), day(end, "end"), as_of=as_of
    )
