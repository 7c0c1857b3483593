"""Provider ``yfinance``: bars, splits and dividends of Yahoo Finance, raw prices restored.

The library does what only it knows (cookies, crumbs, consent); the answer itself, the chart's JSON,
is ours to keep and to read, so that no value is reshaped on the way. Yahoo lays splits over all its
prices and volumes; here they are taken out again, because silver holds what was traded.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import count
from typing import Any

import pyarrow as pa

from lakehouse.errors import ProviderError
from lakehouse.providers import charts, factors
from lakehouse.providers.base import Batch, Fact, Payload, Reading, Request
from lakehouse.providers.charts import QUOTE, Chart
from lakehouse.providers.patience import Patience
from lakehouse.providers.remote import (
    SYMBOL,
    TIME,
    asked_symbols,
    digest_of,
    now_of,
    payload,
    remote_of,
    spilled,
    window,
)
from lakehouse.providers.wire import Answer
from lakehouse.providers.yahoo_venues import refuse_elsewhere, theirs, venue_of
from topology.egress import Guard
from topology.errors import BadInputError
from topology.sources import Bounds, LibrarySource

CHART = "/v8/finance/chart"
PLACES = tuple((f"{host}.yahoo.com", 443) for host in ("query1.finance", "query2.finance", "fc"))
"""What yfinance cannot do without: charts, crumbs, cookies."""
REACH = {"1h": dt.timedelta(days=729), "1m": dt.timedelta(days=29)}
"""How far back Yahoo goes where it does not go back to the beginning."""
CHUNK = {"1m": dt.timedelta(days=7)}
"""The longest window of one answer."""
DELAY = dt.timedelta(minutes=30)
"""Yahoo's prices of most exchanges are up to so late: a younger bar may still change."""
BEGINNING = dt.timedelta(days=99 * 365)
"""As far back as yfinance asks for "max"."""


class YFinance:
    """Asks for one symbol after another; each answer with finished bars is a payload."""

    def __init__(self) -> None:
        self._sets: list[pa.Table] = []

    def fetch(self, request: Request) -> Iterator[Payload]:
        """Yield the charts; a source that stays unusable raises ``provider_error``."""
        yahoo = _Yahoo(request)
        self._sets = yahoo.sets
        for symbol in asked_symbols(request):
            yield from yahoo.payloads(symbol)

    def reading(self, request: Request) -> Reading:
        """Return that times are the ends of bars, in UTC."""
        return Reading(columns={"timestamp": TIME, "vt_symbol": SYMBOL})

    def rows(self, rows: pa.Table) -> pa.Table:
        """Return the rows with prices and volumes as they were before later splits."""
        return factors.restored(rows)

    def facts(self, request: Request) -> Mapping[Fact, pa.Table]:
        """Return the whole sets of factors of the symbols whose events may have changed."""
        return {"adjustments": pa.concat_tables(self._sets)} if self._sets else {}


class _Yahoo:
    """One ingest from Yahoo; ``sets`` are the adjustments found on the way."""

    def __init__(self, request: Request) -> None:
        if request.kind != "bars":
            raise BadInputError("Yahoo has no quotes.", hint="Choose a table of bars.")
        remote = remote_of(request)
        if not isinstance(remote.source, LibrarySource):
            raise BadInputError(f"{remote.name!r} is no source of kind yfinance.")
        bounds, mirror = remote.source.bounds, remote.source.mirror
        if mirror is None:
            remote.guard.require(*PLACES)
        self.request, self.now, self.name = request, now_of(request), remote.name
        self.patience = Patience(remote.name, bounds, request.progress)
        self.data, self.base = _library(remote.guard, bounds, mirror)
        self.timeout_s = bounds.timeout_s
        self.sets: list[pa.Table] = []
        self.fetched = 0

    def payloads(self, symbol: str) -> Iterator[Payload]:
        """Yield the answers of a symbol that hold finished bars.

        The daily chart up to now comes first, whatever is asked for: it names every split since.
        """
        begin, end = self._window(symbol)
        oldest = self.now - BEGINNING
        fresh = self.request.since(symbol) is None or self.request.start is not None
        body, daily = self._chart(symbol, begin, self.now, "1d")
        if fresh or daily.splits or daily.dividends:
            whole = daily if begin == oldest else self._chart(symbol, oldest, self.now, "1d")[1]
            if whole.stamps:
                self.sets.append(factors.of(symbol, whole))
        if self.request.resolution == "1d":
            yield from self._payload(symbol, 1, body, daily, daily, end)
            return
        step = CHUNK.get(self.request.resolution, end - begin)
        for number in count(1):
            until = min(begin + step, end)
            body, chart = self._chart(symbol, begin, until, self.request.resolution)
            yield from self._payload(symbol, number, body, chart, daily, until)
            begin = until
            if begin >= end:
                return

    def _window(self, symbol: str) -> tuple[dt.datetime, dt.datetime]:
        """Return from when to when; the first time as far back as Yahoo goes."""
        if self.request.start is None and self.request.since(symbol) is None:
            reach = REACH.get(self.request.resolution, BEGINNING)
            return self.now - reach, self.now
        return window(self.request, [symbol], "UTC")

    def _chart(
        self, symbol: str, begin: dt.datetime, end: dt.datetime, interval: str
    ) -> tuple[bytes, Chart]:
        params = {
            "period1": int(begin.timestamp()),
            "period2": int(end.timestamp()),
            "interval": interval,
            "includePrePost": "false",
            "events": "div,splits,capitalGains",
        }
        what = f"{symbol}, {interval} from {begin:%Y-%m-%d}"
        body, chart = self.patience.ask(what, partial(self._asked, symbol, params))
        refuse_elsewhere(symbol, chart.exchange)
        self.fetched += len(chart.stamps)
        if self.request.progress is not None:
            message = f"{self.name}: {what}, {len(chart.stamps)} rows."
            extras = {"current": self.fetched, "total": None}
            self.request.progress.emit("rows.processed", message, **extras)
        return body, chart

    def _asked(self, symbol: str, params: dict[str, Any]) -> tuple[bytes, Chart]:
        url = f"{self.base}{CHART}/{theirs(symbol)}"
        response = self.data.get(url, params=params, timeout=self.timeout_s)
        self.data._cookie = self.data._cookie or True  # its cache is off: say that there is one
        body: bytes = response.content
        if response.status_code >= 400 and not body.lstrip().startswith(b"{"):
            Answer(response.status_code, "", {}, b"", url, framed=True).checked()
        return body, charts.read(body)

    def _payload(
        self,
        symbol: str,
        number: int,
        body: bytes,
        chart: Chart,
        daily: Chart,
        end: dt.datetime,
    ) -> Iterator[Payload]:
        """Yield the answer as a payload where a bar of it has ended by ``end``, and settled."""
        resolution, close = self.request.resolution, venue_of(symbol).close
        last = min(end, self.now - DELAY)

        def batch(answer: Chart) -> pa.RecordBatch:
            rows = [row for row in answer.rows(resolution, close) if row.end <= last]
            columns = {name: [row.values[name] for row in rows] for name in (*QUOTE, "adjclose")}
            ratios = [repr(daily.ratio_after(answer.day(row.stamp))) for row in rows]
            texts: dict[str, list[str | None]] = {
                "stamp": [str(row.stamp) for row in rows],
                **columns,
                "currency": [answer.currency] * len(rows),
                factors.RATIO: [*ratios],
                SYMBOL: [symbol] * len(rows),
                TIME: [f"{row.end:%Y-%m-%dT%H:%M:%SZ}" for row in rows],
            }
            return pa.record_batch({n: pa.array(v, pa.string()) for n, v in texts.items()})

        found = batch(chart)
        if not found.num_rows:
            return
        digest = digest_of(body, symbol, str(found.num_rows), repr(daily.splits))
        load = spilled(self.request, digest, body)
        yield payload(
            "yfinance",
            "chart",
            digest,
            f"yfinance:{symbol}/{number}",
            lambda: [Batch(batch(charts.read(load())))],
            found.schema,
        )


def _library(guard: Guard, bounds: Bounds, mirror: str | None) -> tuple[Any, str]:
    """Return yfinance's own access to Yahoo, on a guarded session, and the address it asks.

    Its caches are SQLite files in the user's folder: they are replaced by the ones that it has
    for the case that there is no such folder, which keep nothing.
    """
    try:
        from yfinance import cache, const
        from yfinance.data import YfData

        from lakehouse.providers.browser import Browser
    except ImportError as error:
        raise ProviderError(
            "The provider 'yfinance' needs a package that is not installed.",
            hint="Run pip install 'alphaswarm[yfinance]'.",
            package=error.name,
        ) from error
    cache._CookieCacheManager._Cookie_cache = cache._CookieCacheDummy()
    cache._TzCacheManager._tz_cache = cache._TzCacheDummy()
    session = Browser(guard, bounds, mirror=mirror, wanted=CHART)
    return type.__call__(YfData, session), const._BASE_URL_  # a new one, not the process's own
