"""Remote sources set up for a test: a request with everything a run would give it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import SecretStr, TypeAdapter

from lakehouse import scan
from lakehouse.clean import cleaning
from lakehouse.providers.base import Provider, Request
from lakehouse.providers.remote import Remote
from tests.kit.vendor import Vendor
from topology.egress import Guard
from topology.sections import Egress
from topology.sources import Source

NOW = dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC)
SECRET = "s3cr3t-0123456789"
QUICK = {"timeout_s": 2, "attempts": 3, "wait_s": 0.01, "per_second": 1000}
_SOURCES: TypeAdapter[Source] = TypeAdapter(Source)


class Steps:
    """A progress that remembers its frames and can halt at a checkpoint."""

    def __init__(self, halt_after: int | None = None) -> None:
        self.frames: list[tuple[str, str, Mapping[str, Any]]] = []
        self.checkpoints, self._halt_after = 0, halt_after

    def emit(self, stage: str, message: str, **extras: Any) -> None:
        self.frames.append((stage, message, extras))

    def checkpoint(self) -> None:
        from topology.errors import HaltedError

        self.checkpoints += 1
        if self._halt_after is not None and self.checkpoints > self._halt_after:
            raise HaltedError("Halted.", epoch=1, scope="all")


def source(**keys: Any) -> Source:
    """Return a section of ``providers``, quick to give up."""
    return _SOURCES.validate_python({"bounds": QUICK, **keys})


def allowing(*ports: int) -> Egress:
    places = [{"host": "127.0.0.1", "port": port, "for": ["ingest"]} for port in ports]
    return Egress.model_validate({"allow": places})


def silver(provider: Provider, request: Request) -> pa.Table:
    """Return the bars that cleaning makes of all payloads; a rejected row fails the test."""
    payloads = list(provider.fetch(request))
    numbered = [batch.rows for payload in payloads for batch in payload.numbered()]
    raw = provider.rows(pa.Table.from_batches(numbered))
    raw = raw.append_column("_no", pa.array(range(raw.num_rows), pa.int64()))
    cleaned = cleaning(
        raw,
        provider.reading(request),
        kind=request.kind,
        resolution=request.resolution,
        now=request.now or NOW,
    )
    found = scan.select(cleaned.sql, {"raw": raw, "unknown": cleaned.unknown}, cleaned.parameters)
    rejected = found.filter(pc.is_valid(found.column("reason"))).to_pylist()
    assert not rejected, rejected
    return found.sort_by([("vt_symbol", "ascending"), ("timestamp", "ascending")])


def asking(
    vendor: Vendor,
    described: Source,
    spill: Path,
    *,
    egress: Egress | None = None,
    table: str = "alphaswarm_silver_market.bars_1d",
    symbols: tuple[str, ...] | None = ("AAPL.NASDAQ",),
    start: str | None = "2024-01-02",
    end: str | None = None,
    now: dt.datetime = NOW,
    since: Callable[[str], dt.datetime | None] = lambda _: None,
    progress: Steps | None = None,
) -> Request:
    """Return the request of a run that asks ``vendor`` as ``described``."""
    spill.mkdir(exist_ok=True)
    guard = Guard(allowing(vendor.port) if egress is None else egress, "ingest")
    return Request(
        provider=described.kind,
        table=table,
        symbols=symbols,
        start=dt.date.fromisoformat(start) if start else None,
        end=dt.date.fromisoformat(end) if end else None,
        endpoint="example",
        now=now,
        since=since,
        remote=Remote(guard, "example", described, lambda _: SecretStr(SECRET)),
        progress=progress or Steps(),
        spill=spill,
    )
