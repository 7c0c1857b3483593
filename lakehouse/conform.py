"""Rows of payloads to a staging: typed and judged, under the symbol that their name meant then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from lakehouse import bronze, catalog, identity, staging
from lakehouse.bronze import Held
from lakehouse.clean import cleaning
from lakehouse.facts import told
from lakehouse.identity import Ticker
from lakehouse.job import Run
from lakehouse.providers.base import Provider, Request
from lakehouse.scan import Where
from lakehouse.source import open_source
from lakehouse.staging import Staging
from lakehouse.work import Work

MOST_BYTES = 8 << 20
"""Of bronze rows that are cleaned at a time; text becomes several times as much on the way."""


def read_back(work: Work, stage: Staging, held: Mapping[str, Held]) -> None:
    """Clean what bronze has of the fresh payloads; silver sees nothing else."""
    for table in held.values():
        rows = max(1, min(staging.BATCH, MOST_BYTES // table.row_bytes))
        for plan, hashes in bronze.increments(work.run.lake, table):
            numbers = {name: work.numbers[name] for name in sorted(hashes)}
            found = stage.read(plan, numbers, rows=rows)
            if work.request.fact is not None:  # what is said of an owner is one set
                found = iter([pa.concat_tables(found)])
            for some in found:
                work.run.progress.checkpoint()
                conform(work, stage, some)
    if work.request.fact is None:
        rename(work, stage)
        stage.judge(_currencies(work, stage.symbols()), work.reading.redenominated)


def conform(work: Work, stage: Staging, rows: pa.Table) -> None:
    """Keep ``rows``, numbered by ``_no`` and ``_row``, as good rows, as facts, or as rejects."""
    rows = work.provider.rows(rows)
    if work.request.fact is not None:
        said = told(rows, work.reading, work.request.fact)
        stage.reject(said.rejects)
        stage.facts.append(said.facts)
        return
    how = cleaning(
        rows,
        work.reading,
        kind=work.request.kind,
        resolution=work.request.resolution,
        now=work.run.created_at,
    )
    stage.add(rows, how)


def names(run: Run, request: Request, provider: Provider) -> list[Ticker]:
    """Return the names that mean another symbol on some days, as the run's pins know them.

    A provider whose symbols are permanent ones already needs none: a name that meant another
    symbol on that day would take its bars away.
    """
    if getattr(provider, "identities", False) or request.fact is not None:
        return []
    known = identity.tickers(run.lake, request.table, snapshot_ids=run.snapshot_ids)
    return [ticker for ticker in known if ticker.name != ticker.vt_symbol]


def rename(work: Work, stage: Staging) -> None:
    """Give good rows the symbol that bore their name then."""
    rows = [
        {"name": t.name, "vt_symbol": t.vt_symbol, "first": t.valid_from, "last": t.valid_to}
        for t in work.names
    ]
    kinds = {"name": pa.string(), "vt_symbol": pa.string()}
    days = {"first": pa.date32(), "last": pa.date32()}
    daily = work.request.resolution == "1d"
    stage.rename(pa.Table.from_pylist(rows, pa.schema(kinds | days)), daily=daily)


def _currencies(work: Work, symbols: Sequence[str]) -> pa.Table:
    """Return the currency of the last bar that the table has of each symbol."""
    table, pins = work.request.table, work.run.snapshot_ids
    found = catalog.find(work.run.lake, table)
    if pins is None:
        there = found is not None and found.current_snapshot() is not None
    else:
        there = found is not None and table in pins
    if not there or not symbols:
        return pa.table({"vt_symbol": pa.array([], pa.string()), "currency": []})
    where = Where(symbols=symbols)
    return open_source(work.run.lake, table, where=where, snapshot_ids=pins).rows(
        'SELECT vt_symbol, arg_max(currency, "timestamp") AS currency '
        "FROM source GROUP BY vt_symbol"
    )
