"""When exchanges trade: sessions, holidays, early closes and expected bars, as arrays in UTC.

The rules are those of the package exchange_calendars, which needs pandas: a child process computes
each calendar once and hands arrays back, so neither a server nor a worker ever loads pandas.
"""

from __future__ import annotations

import datetime as dt
import io
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from lakehouse.errors import ProviderError
from topology.errors import UnknownNameError, did_you_mean, nearest

Resolution = Literal["1d", "1h", "1m"]
Grid = Literal["clock", "open"]
Integers = NDArray[np.int64]

SECOND_US = 1_000_000
STEP_US: Mapping[str, int] = {"1m": 60 * SECOND_US, "1h": 3_600 * SECOND_US}
DAY_US = 86_400 * SECOND_US
NONE = np.iinfo(np.int64).min
"""Stands for "no break" in arrays of instants; numpy's not-a-time is the same number."""

ALWAYS, FOREX = "24/7", "24/5"
FIRST, LAST = dt.date(1960, 1, 1), dt.date(2050, 12, 31)
FOREX_ZONE, FOREX_CLOSE = ZoneInfo("America/New_York"), dt.time(17)
FOREX_HOLIDAYS = ((1, 1), (12, 25))
TIMEOUT_S = 120

_AMERICAN = "AMEX ARCA ARCX BATS IEX IEXG NASDAQ NYSE NYSEARCA OOTC OTC OTCM XASE XNAS XNYS"
_CRYPTO = (
    "BINANCE BINANCEUS BITFINEX BITGET BITMEX BITSTAMP BYBIT COINBASE CRYPTO CRYPTOCOM DERIBIT "
    "DYDX GATE GATEIO GDAX GEMINI HTX HUOBI HYPERLIQUID KRAKEN KUCOIN MEXC OKEX OKX POLONIEX UPBIT"
)
_CURRENCY = "DUKASCOPY FOREX FX FXCM IDEALPRO OANDA"
_OTHERS = {
    "ASX": "XASX",
    "B3": "BVMF",
    "BMV": "XMEX",
    "BSE": "XBOM",
    "CBOT": "CMES",
    "CFE": "XCBF",
    "CME": "CMES",
    "COMEX": "CMES",
    "EUREX": "XEUR",
    "FWB": "XFRA",
    "GLOBEX": "CMES",
    "HKEX": "XHKG",
    "HKSE": "XHKG",
    "ICE": "IEPA",
    "JPX": "XTKS",
    "KRX": "XKRX",
    "LSE": "XLON",
    "NSE": "XBOM",
    "NYMEX": "CMES",
    "NZX": "XNZE",
    "OSE": "XOSL",
    "SEHK": "XHKG",
    "SGX": "XSES",
    "SIX": "XSWX",
    "SSE": "XSHG",
    "SZSE": "XSHG",
    "TSX": "XTSE",
    "TWSE": "XTAI",
    "XETRA": "XETR",
    "XNSE": "XBOM",
    "XSHE": "XSHG",
}
EXCHANGES: Mapping[str, str] = {
    **dict.fromkeys(_AMERICAN.split(), "XNYS"),
    **dict.fromkeys(_CRYPTO.split(), ALWAYS),
    **dict.fromkeys(_CURRENCY.split(), FOREX),
    **_OTHERS,
}
"""Our exchange codes (the last part of a ``vt_symbol``) and the calendar that they trade by.

A market identifier code (ISO 10383) that is not here stands for itself.
"""


@dataclass(frozen=True, slots=True)
class Calendar:
    """The sessions of an exchange, in order; all arrays have shape (S,) and dtype int64.

    ``days`` counts days since 1970 of the session's own date. ``opens`` and ``closes`` are
    microseconds since 1970 in UTC, ``break_starts`` and ``break_ends`` those of a midday break,
    `NONE` where there is none. Trading happens from ``opens`` to before ``closes``.
    """

    days: Integers
    opens: Integers
    closes: Integers
    break_starts: Integers
    break_ends: Integers

    def sessions(self, start: dt.date, end: dt.date) -> Calendar:
        """Return the sessions dated ``start`` to ``end``, both inclusive."""
        low, high = np.searchsorted(self.days, [_day(start), _day(end) + 1])
        return self._cut(slice(int(low), int(high)))

    def dates(self) -> list[dt.date]:
        """Return the date of each session."""
        return [dt.date(1970, 1, 1) + dt.timedelta(days=int(day)) for day in self.days]

    def expected(self, resolution: Resolution, *, grid: Grid = "open") -> Integers:
        """Return the end of every bar of these sessions, in microseconds, rising; shape (B,).

        Bars of an hour start when the session opens (``grid="open"``: 10:30, 11:30, .. 16:00 in New
        York) or with the hour (``"clock"``: 10:00, 11:00, .. 16:00); the last one ends with the
        session. Nothing is expected in a break.
        """
        if resolution == "1d":
            return self.closes
        step = STEP_US[resolution]
        starts, stops = self.stretches()
        bases = starts // step * step if grid == "clock" else starts
        counts = -((bases - stops) // step)  # rounded up: a started bar is a bar
        first = np.repeat(np.cumsum(counts) - counts, counts)
        places = np.arange(int(counts.sum())) - first
        ends = np.repeat(bases, counts) + (places + 1) * step
        return np.asarray(np.minimum(ends, np.repeat(stops, counts)), dtype=np.int64)

    def stretches(self) -> tuple[Integers, Integers]:
        """Return start and end of every unbroken stretch of trading, in order."""
        broken = self.break_starts != NONE
        starts = np.concatenate([self.opens, self.break_ends[broken]])
        stops = np.concatenate(
            [np.where(broken, self.break_starts, self.closes), self.closes[broken]]
        )
        order = np.argsort(starts, kind="stable")
        return starts[order], stops[order]

    def _cut(self, part: slice) -> Calendar:
        return Calendar(*(getattr(self, field.name)[part] for field in fields(self)))


_known: dict[str, Calendar | None] = {}
_asking = threading.Lock()


def name(exchange: str) -> str:
    """Return the calendar that an exchange code stands for; one we do not list is its own."""
    return EXCHANGES.get(exchange, exchange)


def of(exchange: str) -> Calendar:
    """Return the calendar of an exchange code or MIC, from 1960 (or where its rules begin) on.

    Raises ``unknown_name`` for a code that nobody knows. Computed once a process; the first call
    for a stock exchange takes about two seconds, `prepare` shares that between several.
    """
    found = find(exchange)
    if found is None:
        raise UnknownNameError(
            f"No trading calendar is known for {exchange[:64]!r}.",
            hint=did_you_mean(exchange[:64], EXCHANGES),
            value=exchange[:64],
            nearest=nearest(exchange[:64], EXCHANGES),
        )
    return found


def find(exchange: str) -> Calendar | None:
    """Return the calendar of an exchange code or MIC, or None where there is none."""
    prepare([exchange])
    return _known[name(exchange)]


def prepare(exchanges: Iterable[str]) -> None:
    """Compute the calendars of these exchanges that are not known yet, in one child process."""
    with _asking:
        wanted = {name(exchange) for exchange in exchanges} - set(_known)
        for ours, compute in ((ALWAYS, _always), (FOREX, _forex)):
            if ours in wanted:
                _known[ours] = compute()
        wanted -= {ALWAYS, FOREX}
        if wanted:
            _known.update(_asked(sorted(wanted)))


def _asked(names: list[str]) -> dict[str, Calendar | None]:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "lakehouse.calendars", *names],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ProviderError(
            "The trading calendars could not be computed.",
            hint="Install the pinned exchange_calendars again: `pip install alphaswarm`.",
            calendars=names,
        ) from error
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as arrays:
        return {each: Calendar(*arrays[each]) if each in arrays else None for each in names}


def _always() -> Calendar:
    days = np.arange(_day(FIRST), _day(LAST) + 1, dtype=np.int64)
    none = np.full(days.size, NONE)
    return Calendar(days, days * DAY_US, (days + 1) * DAY_US, none, none)


def _forex() -> Calendar:
    """Monday to Friday, each from 17:00 of the day before to 17:00 in New York.

    17:00 in New York is where the interbank day rolls over to the next value date. On 25 December
    and 1 January nothing is expected.
    """
    every = (FIRST + dt.timedelta(days=n) for n in range((LAST - FIRST).days + 1))
    dates = [d for d in every if d.weekday() < 5 and (d.month, d.day) not in FOREX_HOLIDAYS]
    closes = np.array([_new_york(date) for date in dates], dtype=np.int64)
    opens = np.array([_new_york(date - dt.timedelta(days=1)) for date in dates], dtype=np.int64)
    none = np.full(len(dates), NONE)
    return Calendar(np.array([_day(d) for d in dates], dtype=np.int64), opens, closes, none, none)


def _new_york(date: dt.date) -> int:
    local = dt.datetime.combine(date, FOREX_CLOSE, FOREX_ZONE)
    return int(local.timestamp()) * SECOND_US


def _day(date: dt.date) -> int:
    return (date - dt.date(1970, 1, 1)).days


def _computed(name: str) -> Integers | None:
    """Return the five arrays of a calendar, stacked; needs pandas: only the child calls it.

    None for a name that the package does not know, or whose rules it cannot compute.
    """
    import pandas as pd
    from exchange_calendars import calendar_utils, errors

    try:
        known = calendar_utils.global_calendar_dispatcher.resolve_alias(name)
        rules = calendar_utils._default_calendar_factories[known]
        low, high = pd.Timestamp(FIRST), pd.Timestamp(LAST)
        start = max(low, rules.bound_min() or low)
        schedule = rules(start, min(high, rules.bound_max() or high)).schedule
    except (KeyError, ValueError, NotImplementedError, errors.CalendarError):
        return None
    instants = [
        schedule[column].dt.tz_convert(None).to_numpy("datetime64[us]").astype(np.int64)
        for column in ("open", "close", "break_start", "break_end")
    ]
    days = schedule.index.to_numpy().astype("datetime64[D]").astype(np.int64)
    return np.stack([days, *instants])


def main(names: list[str]) -> int:
    """Write the calendars ``names`` to standard output as an ``.npz``, those that exist."""
    found: dict[str, Any] = {
        name: arrays for name in names if (arrays := _computed(name)) is not None
    }
    np.savez(sys.stdout.buffer, **found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
