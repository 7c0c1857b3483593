"""Bring data in: payloads to bronze as they came, then from bronze alone to silver, deduplicated.

Everything that is written is derived from the payloads and the run, never from a clock: a second
attempt of the run writes the same bytes, and the same payload in a later run writes nothing. No
step holds more than a part of the rows in memory.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from lakehouse import bronze, catalog, conform, query, silver
from lakehouse.bronze import Held
from lakehouse.job import IngestResult, Run, TableResult, Tally
from lakehouse.known import Known, known, register
from lakehouse.lake import Lake
from lakehouse.preflight import refuse_hopeless
from lakehouse.providers import PROVIDERS
from lakehouse.providers.base import Batch, FromPath, Payload, Request
from lakehouse.quality.check import check
from lakehouse.staging import Staging
from lakehouse.work import Work
from lakehouse.write import Receipt
from topology.canonical import sha256
from topology.errors import BadInputError

Rejected = Mapping[int, Mapping[str, int]]
"""How many rows of each payload, by number, were rejected for which reason."""


def ingest(
    run: Run,
    spec: Mapping[str, Any],
    *,
    allowed: Sequence[Path],
    payload_sha256: str | None = None,
    remote: Any = None,
) -> IngestResult:
    """Fetch, clean and append what ``spec`` (the body of an ingest spec) asks for.

    Bronze keeps the payloads whole; ``spec["symbols"]`` chooses what becomes silver. Payloads of
    which no row is good raise ``schema_mismatch`` with the counts, and nothing is written.
    ``allowed`` are the folders below which files may be read, the inbox first. Files that do not
    have the fingerprint ``payload_sha256``, where one is given, are refused: other bytes are
    other work.
    """
    request = Request.of(
        spec,
        allowed,
        now=run.created_at,
        remote=remote,
        progress=run.progress,
        spill=run.spill,
    )
    provider = PROVIDERS.load(request.provider)()
    names = conform.names(run, request, provider)
    before = known(run, request, names)
    request = replace(
        request, known=before.payloads.__contains__, since=_Ends(run.lake, request.table)
    )
    if isinstance(provider, FromPath) and payload_sha256 is not None:
        _refuse_other_bytes(provider, request, payload_sha256)
    payloads = list({payload.sha256: payload for payload in provider.fetch(request)}.values())
    run.progress.checkpoint()
    fresh = tuple(payload for payload in payloads if before.taken(payload) is None)
    if fresh and request.fact is not None:  # an owner's set is what all of them say together
        fresh = tuple(payloads)
    reading = provider.reading(request)
    work = Work(run, request, provider, reading, fresh, names, Tally(run.progress))
    rejected = _take_in(work, before) if fresh else _stand(work)
    return _result(work, before, payloads, rejected)


def _take_in(work: Work, before: Known) -> Rejected:
    """Do what is not known yet: each step reads what the one before has committed."""
    refuse_hopeless(work)
    with work.staging() as stage:
        held = _bronze(work, stage)
        conform.read_back(work, stage, held)
        silver.append_facts(work, work.provider.facts(work.request), held)
        if work.request.fact is None:
            silver.append_bars(work, stage, held)
        else:
            silver.append_told(work, stage, work.request.fact, held)
        rejected = stage.reasons()
        silver.append_rejects(work, stage)
        register(work, before, held, stage.rows(work.request.symbols), rejected)
        touched = _touched(work, stage)
    _check(work, touched)
    return rejected


def _stand(work: Work) -> Rejected:
    """Name the table that needed nothing, as it stands."""
    silver.append_facts(work, work.provider.facts(work.request), {})
    table = work.request.table
    found = catalog.find(work.run.lake, table)
    if found is not None and (at := found.current_snapshot()) is not None:
        work.tally.tables[table] = TableResult(table, 0, 0, str(at.snapshot_id))
    return {}


def _bronze(work: Work, stage: Staging) -> dict[str, Held]:
    """Append the fresh payloads; lines that are no rows go to the rejects."""
    tally = work.tally

    def seen(payload: Payload, some: Batch) -> None:
        stage.broken(work.numbers[payload.sha256], some.broken)
        lines = some.rows.num_rows + len(some.broken)
        tally.read[payload.sha256] = tally.read.get(payload.sha256, 0) + lines

    def append(table: str, rows: pa.Table, key: str) -> Receipt:
        receipt = work.run.append(table, rows, key)
        tally.add(receipt)
        tally.say(sum(tally.read.values()), None)
        return receipt

    held = bronze.bring(work.run.lake, work.fresh, append, work.raw, seen)
    read = sum(tally.read.values())
    tally.say(read, read)
    for table in held:
        tally.layer_done(table)
    return held


_Touched = tuple[list[str], dt.datetime, dt.datetime]


def _touched(work: Work, stage: Staging) -> _Touched | None:
    """Return the symbols that became silver, and their first and last end; None: no bars."""
    wanted = work.request.symbols
    period = stage.period(wanted)
    if period is None:
        return None
    return [s for s in stage.symbols() if wanted is None or s in wanted], *period


def _check(work: Work, touched: _Touched | None) -> None:
    """Look for what is wrong with the bars as they now stand; findings change no price."""
    if touched is not None:
        symbols, start, end = touched
        checked = check(
            work.run.lake,
            work.run.log,
            work.request.table,
            symbols=symbols,
            start=start,
            end=end,
            run_id=work.run.run_id,
            spec_sha256=work.run.spec_sha256,
            created_at=work.run.created_at,
            progress=work.run.progress,
        )
        work.tally.quality = checked.body()


def _result(
    work: Work, before: Known, payloads: Sequence[Payload], rejected: Rejected
) -> IngestResult:
    """Return what became of all payloads: those that were news, and those that were known."""
    request, tally = work.request, work.tally
    passed = (payload for payload in payloads if payload.sha256 not in work.numbers)
    taken = [before.payloads[payload.sha256] for payload in passed]
    reasons: dict[str, int] = {}
    for counted in [*rejected.values(), *(t.reasons for t in taken)]:
        for reason, count in counted.items():
            reasons[reason] = reasons.get(reason, 0) + count
    good = tally.rows - sum(r.get("duplicate_key", 0) for r in rejected.values())
    whole = [payload.sha256 for payload in payloads]
    alone = len(payloads) == 1
    return IngestResult(
        source=payloads[0].source if alone else request.path or request.provider,
        payload_sha256=whole[0] if alone else sha256(whole),
        payloads=len(payloads),
        skipped=len(taken),
        read=sum(tally.read.values()) + sum(t.read for t in taken),
        new=tally.new,
        known=good - tally.new - tally.revised + sum(t.rows for t in taken),
        revised=tally.revised,
        rejected=sum(reasons.values()),
        reasons=dict(sorted(reasons.items())),
        tables=tuple(tally.tables.values()),
        quality=tally.quality,
    )


class _Ends:
    """Tells the end of the last bar that a table has of a symbol; reads it once, when asked."""

    def __init__(self, lake: Lake, table: str) -> None:
        self._lake = lake
        self._table = table
        self._ends: dict[str, dt.datetime] | None = None

    def __call__(self, symbol: str) -> dt.datetime | None:
        if self._ends is None:
            found = catalog.find(self._lake, self._table)
            held = found is not None and found.current_snapshot() is not None
            rows = query.coverage(self._lake, self._table) if held else []
            self._ends = {row.vt_symbol: row.last for row in rows}
        return self._ends.get(symbol)


def _refuse_other_bytes(provider: FromPath, request: Request, wanted: str) -> None:
    found = provider.fingerprint(request)
    if found != wanted:
        raise BadInputError(
            f"{(request.path or '')[:128]!r} has changed since it was submitted.",
            hint="Submit it again: other bytes are other work.",
            wanted_sha256=wanted,
            found_sha256=found,
        )
