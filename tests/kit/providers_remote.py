"""Remote sources set up for a test: a request with everything a run would give it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pydantic import SecretStr, TypeAdapter

from lakehouse import scan
from lakehouse.clean import cleaning
from lakehouse.providers.base import Provider, Request
from lakehouse.providers.remote import Remote
from tests.kit.lake import BARS
from tests.kit.providers import MakeSetup, Setup
from tests.kit.vendor import Asked, Binance, Reply, Vendor, Yahoo, as_json
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
    secret: str = SECRET,
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
        remote=Remote(guard, "example", described, lambda _: SecretStr(secret)),
        progress=progress or Steps(),
        spill=spill,
    )


def _remote(vendor: Vendor, described: Source) -> Remote:
    guard = Guard(allowing(vendor.port), "ingest")
    return Remote(guard, "example", described, lambda _: SecretStr(SECRET))


def _setup(vendor: Vendor, described: Source, folder: Path, **spec: Any) -> Setup:
    """Return a set-up that is spoiled by a vendor who breaks off in the middle."""

    def spoil() -> None:
        whole = vendor.handler

        def cut(asked: Asked) -> Reply:
            reply = whole(asked)
            last = spec["symbols"][-1].partition(".")[0] in (
                asked.path + asked.query.get("symbol", "")
            )
            return replace(reply, cut=len(reply.body) // 2) if last else reply

        vendor.handler = cut

    asked = {"provider": described.kind, "start": "2024-01-02", **spec}
    return Setup(asked, folder, spoil, [SECRET], _remote(vendor, described), NOW)


@contextmanager
def endpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setup]:
    """Two symbols of an endpoint, two pages each, asked with a key that it repeats."""

    def handler(asked: Asked) -> Reply:
        page = int(asked.query["page"])
        days = [["2024-01-02", "2024-01-03"], ["2024-01-04"], []][page - 1]
        rows = [{"t": d, "o": 10, "h": 12, "l": 9, "c": 11, "v": 5, "key": SECRET} for d in days]
        return as_json(rows)

    with Vendor(handler) as vendor:
        described = source(
            kind="http",
            url=f"{vendor.url}/{{symbol}}?page={{page}}&from={{start}}",
            headers={"X-Key": {"credential": "example"}},
            query={"token": {"credential": "example"}},
            columns={
                "timestamp": "t", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v",
            },
            pagination={"kind": "page"},
        )  # fmt: skip
        symbols = ["AAPL.NASDAQ", "IBM.NYSE"]
        yield _setup(vendor, described, folder, endpoint="example", table=BARS, symbols=symbols)


@contextmanager
def yahoo(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setup]:
    """Two symbols of Yahoo, one of them split two for one and paying a dividend."""
    known = Yahoo()
    first, day = 1704205800, 86_400  # 2024-01-02 09:30 in New York
    bars = [(first + place * day, 10.0, 12.0, 9.0, 11.0, 100) for place in range(3)]
    known.bars = {("AAPL", "1d"): bars, ("MSFT", "1d"): bars}
    known.splits = {"AAPL": {first + day: (2, 1)}}
    known.dividends = {"AAPL": {first + 2 * day: 0.5}}
    with Vendor(known) as vendor:
        described = source(kind="yfinance", mirror=vendor.url)
        symbols = ["AAPL.NASDAQ", "MSFT.NASDAQ"]
        yield _setup(vendor, described, folder, table=BARS, symbols=symbols)


@contextmanager
def crypto(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setup]:
    """Two markets of an exchange, two pages each."""
    known = Binance()
    first, day = 1704153600000, 86_400_000  # 2024-01-02 in UTC
    candles = [(first + place * day, "10.0", "12.0", "9.0", "11.0", "5.5") for place in range(3)]
    known.candles, known.most = {"BTCUSDT": candles, "ETHBTC": candles}, 2
    with Vendor(known) as vendor:
        described = source(kind="ccxt", mirror=vendor.url)
        symbols = ["BTCUSDT.BINANCE", "ETHBTC.BINANCE"]
        spec: dict[str, Any] = {"table": BARS, "symbols": symbols, "end": "2024-01-06"}
        yield _setup(vendor, described, folder, **spec)


REMOTE: Mapping[str, MakeSetup] = {"ccxt": crypto, "http": endpoint, "yfinance": yahoo}
