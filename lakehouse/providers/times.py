"""When a remote row's bar ends: numbers become times, and a bar that still grows is known."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from lakehouse.providers.base import Resolution
from lakehouse.providers.remote import BAR, day_end
from topology.sources import Times

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}

Moment = dt.datetime | dt.date
"""An instant, or a day where only that is known."""


def _read(text: str | None, times: Times) -> Moment | None:
    """Return a row's time as it stands there, with a zone or without."""
    if text is None:
        return None
    try:
        if times.unit != "text":
            return EPOCH + dt.timedelta(microseconds=_microseconds(text, times.unit))
        if ":" not in text:
            return dt.date.fromisoformat(text.strip())
        return dt.datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError, InvalidOperation):
        return None


def written(text: str | None, times: Times, resolution: Resolution) -> str | None:
    """Return a row's time in words that the cleaning reads: an instant in UTC, or a day.

    The day is that of the source's zone; a daily bar that is labelled by its start has one. A time
    without a zone stays so: whether it exists, and once, is for the cleaning to judge.
    """
    moment = _read(text, times)
    if not isinstance(moment, dt.datetime):
        return text
    if resolution == "1d" and times.label == "start":
        local = moment.astimezone(ZoneInfo(times.timezone)) if moment.tzinfo else moment
        return local.date().isoformat()
    if moment.tzinfo is None:
        return f"{moment:%Y-%m-%dT%H:%M:%S.%f}"
    return f"{moment.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def ends(text: str | None, times: Times, resolution: Resolution) -> dt.datetime | None:
    """Return when the row's bar ends, None where that cannot be told."""
    moment = _read(text, times)
    if moment is None:
        return None
    place, daily = ZoneInfo(times.timezone), resolution == "1d"
    if isinstance(moment, dt.datetime) and moment.tzinfo is None:
        day = daily and moment.time() == dt.time()  # midnight without a zone means the day
        moment = moment.date() if day else moment.replace(tzinfo=place).astimezone(dt.UTC)
    if isinstance(moment, dt.datetime) and daily and times.label == "start":
        moment = moment.astimezone(place).date()
    if not isinstance(moment, dt.datetime):
        return day_end(moment, times.close, times.timezone)
    return moment + BAR[resolution] if times.label == "start" else moment


def asked(moment: dt.datetime, times: Times) -> str:
    """Return an instant as an endpoint wants to be asked for it."""
    if times.asked == "date":
        return moment.astimezone(ZoneInfo(times.timezone)).date().isoformat()
    if times.asked == "iso":
        return f"{moment.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
    return str(int(moment.timestamp() * _PER_SECOND[times.asked]))


def _microseconds(text: str, unit: str) -> int:
    scale = _PER_SECOND[unit]
    return int(Decimal(text.strip()) * 1_000_000 / scale)
