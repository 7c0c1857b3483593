"""Yahoo's chart answer: bars, splits and dividends of one symbol, and what its prices mean."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from lakehouse.providers.base import Resolution
from lakehouse.providers.pages import excerpt
from lakehouse.providers.patience import UnusableError
from lakehouse.providers.remote import BAR, day_end

PRICES = ("open", "high", "low", "close")
QUOTE = (*PRICES, "volume")
HUNDREDTHS = {"GBp": "GBP", "ZAc": "ZAR", "ILA": "ILS"}
"""Currencies that Yahoo counts in hundredths, with their whole ones."""
_MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class Row:
    """A bar with Yahoo's own values as the text that came; it ends at ``end``."""

    stamp: int
    end: dt.datetime
    values: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Chart:
    """An answer; ``splits`` are (day, ratio), ``dividends`` (day, amount), by day.

    Prices, volumes and dividends have every split laid over them that Yahoo knows, up to today.
    """

    exchange: str
    currency: str
    zone: str
    stamps: Sequence[int]
    columns: Mapping[str, Sequence[str | None]]
    splits: Sequence[tuple[dt.date, float]]
    dividends: Sequence[tuple[dt.date, float]]
    sessions: Sequence[tuple[int, int]]

    def day(self, stamp: int) -> dt.date:
        """Return the exchange's day of an instant in seconds."""
        return dt.datetime.fromtimestamp(stamp, ZoneInfo(self.zone)).date()

    def rows(self, resolution: Resolution, close: str) -> Iterator[Row]:
        """Yield the bars; a moment without any price is none, of two bars of a day the last is.

        Daily bars end at ``close``, others a step after they begin or with their session; what
        lies outside the sessions that the answer names is the price of the moment, no bar.
        """
        places = {self._key(at, resolution): place for place, at in enumerate(self.stamps)}
        for place in places.values():
            stamp = self.stamps[place]
            values = {name: column[place] for name, column in self.columns.items()}
            end = self._end(stamp, resolution, close)
            if end is not None and any(values[name] is not None for name in PRICES):
                yield Row(stamp, end, values)

    def ratio_after(self, day: dt.date) -> float:
        """Return by how much later splits have divided the prices of ``day``."""
        ratio = 1.0
        for when, one in self.splits:
            ratio *= one if when > day else 1.0
        return ratio

    def _key(self, stamp: int, resolution: Resolution) -> object:
        return self.day(stamp) if resolution == "1d" else stamp

    def _end(self, stamp: int, resolution: Resolution, close: str) -> dt.datetime | None:
        if resolution == "1d":
            return day_end(self.day(stamp), close, self.zone)
        end = stamp + int(BAR[resolution].total_seconds())
        if self.sessions:
            inside = [last for first, last in self.sessions if first <= stamp < last]
            if not inside:
                return None
            end = min(end, inside[0])
        return dt.datetime.fromtimestamp(end, dt.UTC)


def read(body: bytes) -> Chart:
    """Return the chart of an answer; what is none raises `UnusableError` with Yahoo's words."""
    try:
        answer = json.loads(body, parse_float=str, parse_int=str, parse_constant=str)
        chart = answer["chart"]
        if chart.get("error"):
            sentence = f"Yahoo says: {str(chart['error'].get('description'))[:200]}"
            raise UnusableError("content", sentence, again=False)
        return _chart(chart["result"][0])
    except (ValueError, RecursionError) as error:
        reason = "html" if body.lstrip()[:1] == b"<" else "content"
        sentence = f"it is not a chart: {excerpt(body)!r}."
        raise UnusableError(reason, sentence, again=True) from error
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        sentence = f"its chart is not as Yahoo writes them: {excerpt(body)!r}."
        raise UnusableError("content", sentence, again=False) from error


def _chart(result: Mapping[str, Any]) -> Chart:
    meta, events = result["meta"], result.get("events") or {}
    zone = meta["exchangeTimezoneName"]
    stamps = [int(text) for text in result.get("timestamp") or ()]
    quote = result["indicators"]["quote"][0]
    columns = {name: quote.get(name) or [None] * len(stamps) for name in QUOTE}
    adjusted = (result["indicators"].get("adjclose") or [{}])[0].get("adjclose")
    columns["adjclose"] = adjusted or [None] * len(stamps)
    if any(len(column) != len(stamps) for column in columns.values()):
        raise ValueError("columns of different lengths")
    splits = [(one["date"], _ratio(one)) for one in (events.get("splits") or {}).values()]
    paid = [(one["date"], float(one["amount"])) for one in (events.get("dividends") or {}).values()]
    return Chart(
        exchange=meta["exchangeName"],
        currency=meta["currency"],
        zone=zone,
        stamps=stamps,
        columns=columns,
        splits=_dated(splits, zone),
        dividends=_dated(paid, zone),
        sessions=_sessions(meta.get("tradingPeriods")),
    )


def _ratio(split: Mapping[str, str]) -> float:
    ratio = float(split["numerator"]) / float(split["denominator"])
    if not 0 < ratio < 1e6:
        raise ValueError("a split by nothing")
    return ratio


def _dated(events: list[tuple[str, float]], zone: str) -> list[tuple[dt.date, float]]:
    place = ZoneInfo(zone)
    return sorted((dt.datetime.fromtimestamp(int(at), place).date(), what) for at, what in events)


def _sessions(periods: Any) -> list[tuple[int, int]]:
    """Return begin and end of each regular session, an end at 23:59 being midnight."""
    found = []
    for day in periods if isinstance(periods, list) else ():
        for session in day:
            end = int(session["end"])
            found.append((int(session["start"]), end + _MINUTE_S * (end // _MINUTE_S % 60 == 59)))
    return found
