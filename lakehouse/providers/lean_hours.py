"""When a Lean market's day ends, in which zone its files are written, and what it quotes in."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lakehouse.errors import UnreadableFileError
from lakehouse.providers import paths
from lakehouse.providers.lean_layout import HOURS, PROPERTIES
from topology.errors import MissingError

ANY = "[*]"
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_KNOWN = {
    "equity-usa": ("America/New_York", dt.time(16)),
    "forex-fxcm": ("Etc/GMT+5", None),
}
"""Zone of the files and end of the day where the folder has no database of market hours."""


@dataclass(frozen=True, slots=True)
class Hours:
    """``zone`` is the one of the files; ``closes`` by weekday (Monday 0) and ``early`` by date.

    Both are times of ``exchange_zone``. Where there are none a daily bar ends with its day in
    ``zone``.
    """

    zone: str
    exchange_zone: str
    closes: Mapping[int, dt.time] = field(default_factory=dict)
    early: Mapping[dt.date, dt.time] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Markets:
    """What a Lean data folder says of its markets."""

    hours: Mapping[str, Any]
    currencies: Mapping[tuple[str, str, str], str]
    parsed: dict[str, Hours] = field(default_factory=dict)

    def of(self, security: str, market: str, ticker: str) -> Hours:
        """Return a ticker's hours; an equity market that nobody knows raises ``not_found``."""
        key = f"{security}-{market}"
        for name in (f"{key}-{ticker.lower()}", f"{key}-{ANY}"):
            if name in self.hours:
                if name not in self.parsed:
                    self.parsed[name] = _parsed(name, self.hours[name], security)
                return self.parsed[name]
        if key in _KNOWN:
            zone, close = _KNOWN[key]
            return Hours(zone, zone, {} if close is None else dict.fromkeys(range(7), close))
        if security == "equity":
            raise MissingError(
                f"The hours of the market {market!r} are not known.",
                hint=f"Copy {'/'.join(HOURS)} of Lean into the data folder.",
                market=market,
            )
        return Hours("UTC", "UTC")

    def currency(self, security: str, market: str, ticker: str) -> str:
        """Return what a ticker is quoted in; one that cannot be told raises ``not_found``."""
        for name in (ticker, ANY):
            found = self.currencies.get((security, market, name))
            if found:
                return found
        if security == "equity" and market == "usa":
            return "USD"
        if security != "equity" and len(ticker) == 6 and ticker.isalpha():
            return ticker[3:]
        raise MissingError(
            f"The currency of {ticker[:32]!r} on {market!r} is not known.",
            hint=f"Copy {'/'.join(PROPERTIES)} of Lean into the data folder.",
            ticker=ticker[:32],
            market=market,
        )


def markets(root: Path, allowed: Sequence[Path]) -> Markets:
    """Return what the folder's two databases say; without them only US equities are known."""
    hours, properties = (_text(root, *place, allowed) for place in (HOURS, PROPERTIES))
    try:
        entries = json.loads(hours or "{}")
        entries = entries.get("entries", entries)
        by_name = {name.lower(): entry for name, entry in entries.items()}
    except (ValueError, AttributeError) as error:
        raise _wrong(HOURS[1]) from error
    currencies = {}
    for row in csv.DictReader(io.StringIO(properties or "")):
        key = (str(row.get("type")), str(row.get("market")), str(row.get("symbol")).upper())
        currencies[key] = str(row.get("quote_currency") or "")
    return Markets(by_name, currencies)


def _text(root: Path, folder: str, name: str, allowed: Sequence[Path]) -> str | None:
    file = paths.beside(root / folder, [name], allowed)
    if file is None:
        return None
    with file.open() as stream:
        return stream.read().decode("utf-8-sig", "replace")


def _parsed(name: str, entry: Mapping[str, Any], security: str) -> Hours:
    try:
        zone = str(entry.get("dataTimeZone") or entry["exchangeTimeZone"])
        exchange_zone = str(entry.get("exchangeTimeZone") or zone)
        if security != "equity":
            return Hours(zone, exchange_zone)
        closes = {
            number: close
            for number, name in enumerate(_DAYS)
            if (close := _close(entry.get(name) or [])) is not None
        }
        early = {
            _date(date): dt.time.fromisoformat(close)
            for date, close in (entry.get("earlyCloses") or {}).items()
        }
        return Hours(zone, exchange_zone, closes, early)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _wrong(name) from error


def _close(segments: Sequence[Mapping[str, str]]) -> dt.time | None:
    """Return the end of the last segment in which the market is open."""
    ends = [segment["end"] for segment in segments if segment["state"] == "market"]
    return dt.time.fromisoformat(max(ends)) if ends else None


def _date(text: str) -> dt.date:
    """Return the date that the database writes as month/day/year."""
    month, day, year = (int(part) for part in text.split("/"))
    return dt.date(year, month, day)


def _wrong(name: str) -> UnreadableFileError:
    return UnreadableFileError(
        f"The market hours of {name[:64]!r} are not as Lean writes them.",
        hint="Copy the database from Lean's Data folder again.",
    )
