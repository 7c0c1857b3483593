"""What providers share that ask another machine: the way out, times, and pages on disk."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
from pydantic import SecretStr

from lakehouse.providers.base import Batch, Payload, Request
from topology.egress import Guard
from topology.errors import BadInputError
from topology.sources import Source

NAMESPACE = "alphaswarm_bronze"
SYMBOL, TIME = "vt_symbol", "bar_time"
"""Columns that we put beside the vendor's: whose row it is, and its time in words we read."""
BAR = {
    "1m": dt.timedelta(minutes=1),
    "1h": dt.timedelta(hours=1),
    "1d": dt.timedelta(days=1),
}
_SHAPE_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Remote:
    """The way out: ``guard`` for the purpose ``ingest``, and the ``source`` called ``name``.

    ``secret`` resolves one of the topology's credentials by name.
    """

    guard: Guard
    name: str
    source: Source
    secret: Callable[[str], SecretStr]


def remote_of(request: Request) -> Remote:
    """Return the way out that the request was given."""
    if not isinstance(request.remote, Remote):
        raise BadInputError(
            f"The provider {request.provider!r} needs an endpoint of the topology.",
            hint="Describe it under providers in topology.yaml and ingest it by that name.",
        )
    return request.remote


def asked_symbols(request: Request) -> list[str]:
    """Return the symbols asked for; none at all raises ``invalid_arguments``."""
    if not request.symbols:
        raise BadInputError(
            "This source has more symbols than anybody wants.",
            hint="Name some: symbols: [AAPL.NASDAQ, ...] (--symbol on the command line).",
            path="symbols",
        )
    return list(request.symbols)


def window(request: Request, symbols: Iterable[str], zone: str) -> tuple[dt.datetime, dt.datetime]:
    """Return from when to when to ask, in ``zone``; an end that is not given is the run's time.

    A start that is not given is that of the last bar that the table holds of each symbol: one bar
    overlaps, so that its correction is seen. Where there is none yet: ``invalid_arguments``.
    """
    place = ZoneInfo(zone)
    end = now_of(request)
    if request.end is not None:
        end = min(end, _midnight(request.end + dt.timedelta(days=1), place))
    if request.start is not None:
        return _midnight(request.start, place), end.astimezone(place)
    held = [request.since(symbol) for symbol in symbols]
    last = [moment for moment in held if moment is not None]
    if not last or len(last) < len(held):
        raise BadInputError(
            "There are no bars yet to go on from.",
            hint="Say from which day on: start: 2020-01-01 (--start on the command line).",
            path="start",
        )
    return _resumed(min(last), request, place), end.astimezone(place)


def now_of(request: Request) -> dt.datetime:
    """Return the run's time: what is asked of the world must not depend on a clock."""
    if request.now is None:
        raise BadInputError("A remote source needs the time of the run.", path="now")
    return request.now


def _resumed(last: dt.datetime, request: Request, place: ZoneInfo) -> dt.datetime:
    if request.resolution != "1d":
        return (last - BAR[request.resolution]).astimezone(place)
    day = (last - dt.timedelta(microseconds=1)).astimezone(place).date()  # 24:00 is of its day
    return _midnight(day, place)


def _midnight(day: dt.date, place: ZoneInfo) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), tzinfo=place)


def day_end(day: dt.date, close: str, zone: str) -> dt.datetime:
    """Return when the daily bar of ``day`` ends, in UTC; ``close`` is HH:MM, 24:00 the midnight."""
    hours, minutes = map(int, close.split(":"))
    local = dt.datetime.combine(day, dt.time()) + dt.timedelta(hours=hours, minutes=minutes)
    return local.replace(tzinfo=ZoneInfo(zone)).astimezone(dt.UTC)


def spilled(request: Request, digest: str, data: bytes) -> Callable[[], bytes]:
    """Keep a page in the request's folder until it is read again; in memory where it has none."""
    if request.spill is None:
        return lambda: data
    place: Path = request.spill / f"{digest}.page"
    place.write_bytes(data)
    return place.read_bytes


def digest_of(data: bytes, *more: str) -> str:
    """Return the SHA-256 of fetched bytes and of what else decides their rows."""
    digest = hashlib.sha256(data)
    for text in more:
        digest.update(b"\0" + text.encode())
    return digest.hexdigest()


def payload(
    domain: str,
    name: str,
    digest: str,
    source: str,
    opened: Callable[[], Iterable[Batch]],
    schema: pa.Schema,
) -> Payload:
    """Return a page as a payload; rows of other columns go to another bronze table."""
    shape = hashlib.sha256("\n".join(schema.names).encode()).hexdigest()[:_SHAPE_DIGITS]
    plain = re.sub(r"[^a-z0-9]+", "_", name)
    return Payload(f"{NAMESPACE}_{domain}.{plain}_{shape}", digest, source, schema, opened)
