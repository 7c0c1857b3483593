"""A staging to silver: new keys, corrections of known ones, facts beside bars, and the rejects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse import batch, keys
from lakehouse.bronze import Held
from lakehouse.job import stamped
from lakehouse.novelty import REVISIONS
from lakehouse.providers.base import Fact
from lakehouse.staging import Staging
from lakehouse.work import Work

PART = 100_000
"""Rows of one append."""
BRONZE, FROM, TO = (
    "alphaswarm.bronze_table",
    "alphaswarm.from_snapshot",
    "alphaswarm.to_snapshot",
)
"""Properties of silver snapshots: which bronze table, after and up to which snapshot."""


def append_bars(work: Work, stage: Staging, held: Mapping[str, Held]) -> None:
    """Append new keys, then corrections of known ones; the first word of this run is a bar."""
    table, tally = work.request.table, work.tally
    total = tally.rows = stage.count(work.request.symbols)
    done = 0
    for number, part in enumerate(keys.parts(stage.good(work.request.symbols), rows=PART)):
        if part.doubles.num_rows:
            stage.doubles(part.doubles)
        if not part.first.num_rows:
            continue
        _append(work, part, f"silver:{work.id}:{number}", lineage(held))
        done += part.first.num_rows
        tally.say(done, total, table)
    rejected = sum(sum(of.values()) for of in stage.reasons().values())
    tally.layer_done(table, rejected=rejected)
    tally.layer_done(table + REVISIONS)


def append_facts(work: Work, given: Mapping[Fact, pa.Table], held: Mapping[str, Held]) -> None:
    """Append what is known beside bars, before them: who reads bars finds it."""
    origin = lineage(held) if held else {}
    said = {"source": work.request.provider, "run_id": work.run.run_id}
    for name, facts in given.items():
        rows = _of(facts, work.request.symbols)
        if rows.num_rows:
            beside = work.beside(name)
            whole = stamped(rows, known_at=work.run.created_at, **said)
            key = f"facts:{batch.digest(whole)[:32]}"
            work.tally.add(work.run.append(beside, whole, key, **origin))
            work.tally.layer_done(beside)


def append_told(work: Work, stage: Staging, fact: Fact, held: Mapping[str, Held]) -> None:
    """Append what the payloads themselves say beside bars: the whole set of each owner."""
    if stage.facts:
        whole = pa.concat_tables(stage.facts)
        work.tally.rows = whole.num_rows
        append_facts(work, {fact: whole}, held)
        at = work.tally.tables.get(work.request.table)
        work.tally.new = at.rows if at else 0


def append_rejects(work: Work, stage: Staging) -> None:
    """Append the rows that are no bars and the lines that are no rows: none disappears."""
    table = work.beside("rejects")
    hashes = pa.array([payload.sha256 for payload in work.fresh], pa.string())
    for number, rejects in enumerate(stage.rejects()):
        if not rejects.num_rows:
            continue
        nos = rejects.column("_no")
        rows = pa.Table.from_batches([rejects]).drop_columns("_no")
        rows = rows.rename_columns(["row", "reason", "detail", "content"])
        rows = rows.append_column("payload_sha256", hashes.take(nos))
        rows = rows.append_column("source", work.sources.take(nos))
        rows = stamped(
            rows,
            table_name=work.request.table,
            ingested_at=work.run.created_at,
            run_id=work.run.run_id,
        )
        work.tally.add(work.run.append(table, rows, f"rejects:{work.id}:{number}"))
    work.tally.layer_done(table)


def lineage(held: Mapping[str, Held]) -> dict[str, str]:
    """Return what silver was built from: bronze tables and their snapshots, in the same order."""
    tables = list(held.values())
    return {
        BRONZE: ",".join(table.table for table in tables),
        FROM: ",".join(table.from_snapshot or "" for table in tables),
        TO: ",".join(table.to_snapshot for table in tables),
    }


def _append(work: Work, part: keys.Part, key: str, origin: Mapping[str, str]) -> None:
    table, tally = work.request.table, work.tally
    main = work.run.append(table, work.bars(part.first), key, **origin)
    tally.add(main)
    tally.new += main.rows
    if main.rows < part.first.num_rows or part.several:
        later = work.bars(part.last, known_at=work.run.created_at)
        revised = work.run.append(table + REVISIONS, later, key, **origin)
        tally.add(revised)
        tally.revised += revised.rows


def _of(facts: pa.Table, symbols: Sequence[str] | None) -> pa.Table:
    if symbols is None or "vt_symbol" not in facts.column_names:
        return facts
    wanted = pa.array(symbols, pa.string())
    return facts.filter(pc.is_in(facts.column("vt_symbol"), value_set=wanted))
