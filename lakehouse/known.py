"""Which payloads a table has taken in already: they are neither looked into nor written again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from lakehouse import catalog, schemas
from lakehouse.asof import snapshot_at
from lakehouse.bronze import Held
from lakehouse.identity import Ticker
from lakehouse.job import Run
from lakehouse.layers import TableName
from lakehouse.providers.base import Payload, Request
from lakehouse.scan import Where
from lakehouse.silver import lineage
from lakehouse.source import open_source
from lakehouse.work import Work
from topology.canonical import sha256


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a payload's lines: read, good and chosen, rejected for which reason."""

    read: int
    rows: int
    rejected: int
    reasons: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Known:
    """What runs before this one took in, read in the same way.

    ``latest`` has the payload that each source gave last: when a source says A, then B, then A
    again, the second A is news.
    """

    reading_sha256: str
    latest: Mapping[str, str] = field(default_factory=dict)
    payloads: Mapping[str, Taken] = field(default_factory=dict)

    def taken(self, payload: Payload) -> Taken | None:
        """Return what became of ``payload`` if it is the last that its source gave."""
        if self.latest.get(payload.source) != payload.sha256:
            return None
        return self.payloads[payload.sha256]


def registry(table: str) -> str:
    """Return the table of payloads beside ``table``."""
    return f"{TableName.parse(table).namespace}.payloads"


def known(run: Run, request: Request, names: Sequence[Ticker]) -> Known:
    """Return what earlier runs took in, at the pinned snapshot: an attempt decides like the first.

    Another reading, other symbols or other ``names`` of symbols make the same payload new.
    """
    lake, run_id, snapshot_ids = run.lake, run.run_id, run.snapshot_ids
    how = {
        "provider": request.provider,
        "reading": _plain(asdict(request.reading)),
        "symbols": None if request.symbols is None else sorted(request.symbols),
    }
    borne = [[t.name, t.vt_symbol, str(t.valid_from), str(t.valid_to)] for t in names]
    reading = sha256({**how, "names": borne} if borne else how)
    name = registry(request.table)
    found = catalog.find(lake, name)
    pin = None
    if found is not None:
        at = snapshot_at({name: found}, name, None, required=False)
        pin = at if snapshot_ids is None else snapshot_ids.get(name)
    if pin is None:
        return Known(reading)
    where = Where(among={"table_name": [request.table], "reading_sha256": [reading]})
    rows = open_source(lake, name, where=where, snapshot_ids={name: pin}).rows(
        f"SELECT * FROM source WHERE run_id <> '{run_id}' ORDER BY ingested_at, run_id"  # noqa: S608
    )
    latest: dict[str, str] = {}
    payloads: dict[str, Taken] = {}
    for row in rows.to_pylist():
        latest[row["source"]] = row["payload_sha256"]
        payloads[row["payload_sha256"]] = Taken(
            row["read"], row["rows"], row["rejected"], json.loads(row["reasons"])
        )
    return Known(reading, latest, payloads)


def register(
    work: Work,
    before: Known,
    held: Mapping[str, Held],
    rows: Mapping[int, int],
    rejected: Mapping[int, Mapping[str, int]],
) -> None:
    """Note each payload as taken in: the last thing that a whole ingest does.

    ``rows`` counts the good and chosen rows of each payload, by number, ``rejected`` the others.
    """
    noted = []
    for no, payload in enumerate(work.fresh):
        at, reasons = held.get(payload.table), rejected.get(no, {})
        noted.append(
            {
                "payload_sha256": payload.sha256,
                "table_name": work.request.table,
                "reading_sha256": before.reading_sha256,
                "bronze_table": payload.table,
                "from_snapshot": (at.from_snapshot if at else None) or "",
                "to_snapshot": at.to_snapshot if at else "",
                "read": work.tally.read.get(payload.sha256, 0),
                "rows": rows.get(no, 0) - reasons.get("duplicate_key", 0),
                "rejected": sum(reasons.values()),
                "reasons": json.dumps(reasons, sort_keys=True),
                "source": payload.source,
                "ingested_at": work.run.created_at,
                "run_id": work.run.run_id,
            }
        )
    whole = pa.Table.from_pylist(noted, schemas.PAYLOADS.columns)
    work.run.append(registry(work.request.table), whole, f"payloads:{work.id}", **lineage(held))


def _plain(value: Any) -> Any:
    """Return the reading without what is absent: a key added later changes no hash."""
    return {name: v if isinstance(v, str | bool) else str(v) for name, v in value.items() if v}
