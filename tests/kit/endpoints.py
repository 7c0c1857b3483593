"""An endpoint for the tests of provider ``http``: what it answers, and how it is described."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from lakehouse.providers.base import Payload, Request
from lakehouse.providers.http_source import Http
from tests.kit.providers_remote import silver, source
from tests.kit.vendor import Asked, Vendor

COLUMNS = {"timestamp": "t", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}
DAYS = ["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05", "2024-01-08"]


def bar(day: str, close: float = 10.5) -> dict[str, Any]:
    return {"t": day, "o": 10.0, "h": 11.0, "l": 9.5, "c": close, "v": 1000}


def window(asked: Asked) -> list[dict[str, Any]]:
    """Return the bars between ``from`` and ``to``, as an honest vendor does."""
    return [bar(day) for day in DAYS if asked.query["from"] <= day <= asked.query["to"]]


def described(vendor: Vendor, **keys: Any) -> Any:
    defaults = {
        "kind": "http",
        "url": f"{vendor.url}/v1/{{symbol}}?from={{start}}&to={{end}}",
        "rows": "data.bars",
        "columns": COLUMNS,
    }
    return source(**{**defaults, **keys})


def rows(payloads: list[Payload]) -> pa.Table:
    return pa.Table.from_batches([b.rows for p in payloads for b in p.batches()])


def bars(request: Request) -> pa.Table:
    """Return what the silver table would get."""
    return silver(Http(), request)
