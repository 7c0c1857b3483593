"""Provider ``ccxt``: candles of crypto exchanges, page by page, through the egress guard.

The exchange is the one that the symbol names: ``BTCUSDT.BINANCE`` is the spot market BTC/USDT of
``ccxt.binance``. Values stay the text that the exchange wrote.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pyarrow as pa

from lakehouse.errors import ProviderError
from lakehouse.providers.base import Batch, Fact, Payload, Reading, Request
from lakehouse.providers.patience import Patience, UnusableError
from lakehouse.providers.remote import (
    BAR,
    SYMBOL,
    TIME,
    Remote,
    asked_symbols,
    digest_of,
    now_of,
    payload,
    remote_of,
    spilled,
    window,
)
from topology.errors import BadInputError, UnknownNameError, did_you_mean, nearest
from topology.sources import LibrarySource
from topology.symbols import Symbol

LIMIT = 1000
"""Candles asked for where ccxt does not say how many an exchange gives at most."""
NAMES = ("stamp", "open", "high", "low", "close", "volume")
_ADDRESS = re.compile(r"\bhttps?:\S+")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Ccxt:
    """Asks one symbol after another; each page with finished candles is a payload."""

    def fetch(self, request: Request) -> Iterator[Payload]:
        """Yield the pages; an exchange that stays unusable raises ``provider_error``."""
        exchanges: dict[str, _Exchange] = {}
        for symbol in asked_symbols(request):
            name = Symbol.parse(symbol).exchange
            if name not in exchanges:
                exchanges[name] = _Exchange(request, name)
            yield from exchanges[name].payloads(symbol)

    def reading(self, request: Request) -> Reading:
        """Return that times are the ends of candles, in UTC."""
        return Reading(columns={"timestamp": TIME, "vt_symbol": SYMBOL})

    def rows(self, rows: pa.Table) -> pa.Table:
        """Return the rows: an exchange's numbers are ours."""
        return rows

    def facts(self, request: Request) -> Mapping[Fact, pa.Table]:
        """Return nothing: coins neither split nor pay dividends."""
        return {}


class _Exchange:
    """One ingest from one exchange."""

    def __init__(self, request: Request, name: str) -> None:
        if request.kind != "bars":
            raise BadInputError("ccxt has no history of quotes.", hint="Choose a table of bars.")
        remote = remote_of(request)
        if not isinstance(remote.source, LibrarySource):
            raise BadInputError(f"{remote.name!r} is no source of kind ccxt.")
        self.request, self.now, self.name = request, now_of(request), f"{remote.name}:{name}"
        self.step = BAR[request.resolution]
        self.patience = Patience(self.name, remote.source.bounds, request.progress)
        self.most_pages = remote.source.bounds.pages
        self.module, self.exchange = _library(name, remote, remote.source)
        if not self.exchange.has.get("fetchOHLCV") or (
            request.resolution not in self.exchange.timeframes
        ):
            raise BadInputError(f"{name} gives no candles of {request.resolution}.")
        self.patience.ask("its markets", partial(self._told, self.exchange.load_markets))
        self.fetched = 0

    def payloads(self, symbol: str) -> Iterator[Payload]:
        """Yield the pages of a symbol; a page without candles is passed over."""
        market = self._market(symbol)
        begin, end = window(self.request, [symbol], "UTC")
        limit = self._limit(market)
        for number in range(1, self.most_pages + 1):
            if begin >= end:
                return
            what = f"{symbol}, page {number}"
            ask = partial(self._candles, market["symbol"], begin, limit)
            text, candles = self.patience.ask(what, partial(self._told, ask))
            candles = [one for one in candles if one[0] >= _stamp(begin)]
            yield from self._payload(symbol, number, market, text, candles, end)
            self._tell(what, len(candles))
            begin = _after(candles[-1][0], self.step) if candles else begin + limit * self.step
        raise ProviderError(
            f"{self.name!r} has more pages of {symbol} than bounds.pages, {self.most_pages}.",
            hint="Nothing was written. Ask for less, or raise providers.*.bounds.pages.",
            provider=self.name,
            reason="pagination",
        )

    def _told(self, call: Any) -> Any:
        """Return what ``call`` returns, with the library's errors in our words."""
        try:
            return call()
        except self.module.NetworkError as error:
            raise UnusableError("exchange", _words(error), again=True) from error
        except self.module.BaseError as error:
            raise UnusableError("content", _words(error), again=False) from error

    def _candles(
        self, market: str, begin: dt.datetime, limit: int
    ) -> tuple[bytes, list[list[Any]]]:
        found = self.exchange.fetch_ohlcv(market, self.request.resolution, _stamp(begin), limit)
        return str(self.exchange.last_http_response).encode(), found

    def _market(self, symbol: str) -> Any:
        ticker = Symbol.parse(symbol).ticker
        spot = {
            _plain(market["base"] + market["quote"]): market
            for market in self.exchange.markets.values()
            if market.get("spot")
        }
        if ticker not in spot:
            venue = Symbol.parse(symbol).exchange
            raise UnknownNameError(
                f"{venue} has no spot market {ticker!r}.",
                hint=f"{did_you_mean(ticker, nearest(ticker, spot))} "
                "Base and quote in one word, for example BTCUSDT.",
                value=symbol,
                nearest=[f"{name}.{venue}" for name in nearest(ticker, spot)],
            )
        return spot[ticker]

    def _limit(self, market: Any) -> int:
        feature = self.exchange.feature_value(market["symbol"], "fetchOHLCV", "limit")
        return int(feature or LIMIT)

    def _payload(
        self,
        symbol: str,
        number: int,
        market: Any,
        text: bytes,
        candles: list[list[Any]],
        end: dt.datetime,
    ) -> Iterator[Payload]:
        """Yield the candles that have ended as a payload, where there are any."""
        finished = [one for one in candles if _after(one[0], self.step) <= end]
        if not finished:
            return

        def batch(rows: list[list[Any]]) -> pa.RecordBatch:
            texts: dict[str, list[str | None]] = {
                name: [None if row[at] is None else str(row[at]) for row in rows]
                for at, name in enumerate(NAMES)
            }
            texts["currency"] = [market["quote"]] * len(rows)
            texts[SYMBOL] = [symbol] * len(rows)
            ends = (_after(row[0], self.step) for row in rows)
            texts[TIME] = [f"{one:%Y-%m-%dT%H:%M:%SZ}" for one in ends]
            return pa.record_batch({n: pa.array(v, pa.string()) for n, v in texts.items()})

        digest = digest_of(text, symbol, self.request.resolution, str(len(finished)))
        load = spilled(self.request, digest, json.dumps(finished).encode())
        yield payload(
            "ccxt",
            "candles",
            digest,
            f"ccxt:{symbol}/{number}",
            lambda: [Batch(batch(json.loads(load())))],
            batch(finished).schema,
        )

    def _tell(self, what: str, rows: int) -> None:
        self.fetched += rows
        if self.request.progress is not None:
            extras = {"current": self.fetched, "total": None}
            message = f"{self.name}: {what}, {rows} rows."
            self.request.progress.emit("rows.processed", message, **extras)


def _library(name: str, remote: Remote, source: LibrarySource) -> tuple[Any, Any]:
    """Return ccxt and its exchange on a guarded session; only spot markets are looked at."""
    try:
        import ccxt

        from lakehouse.providers.requests_wire import session
    except ImportError as error:
        raise ProviderError(
            "The provider 'ccxt' needs a package that is not installed.",
            hint="Run pip install 'alphaswarm[ccxt]'.",
            package=error.name,
        ) from error
    known = {one.upper(): one for one in ccxt.exchanges}
    if name not in known:
        raise UnknownNameError(
            f"ccxt knows no exchange {name!r}.",
            hint=did_you_mean(name, known),
            value=name,
            nearest=nearest(name, known),
        )
    exchange = getattr(ccxt, known[name])(
        {
            "session": session(remote.guard, source.bounds, mirror=source.mirror),
            "enableRateLimit": source.mirror is None,
            "timeout": int(source.bounds.timeout_s * 1000),
            "number": str,
            "options": {"fetchMarkets": {"types": ["spot"]}, "defaultType": "spot"},
        }
    )
    exchange.has["fetchCurrencies"] = False  # another request, for what candles do not need
    return ccxt, exchange


def _words(error: Exception) -> str:
    """Return an error of ccxt without addresses: their queries are ours, but may be long."""
    return f"{type(error).__name__}: {_ADDRESS.sub('', str(error))[:200].strip()}"


def _plain(text: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", text.upper())


def _stamp(moment: dt.datetime) -> int:
    return int((moment - _EPOCH) / dt.timedelta(milliseconds=1))


def _after(stamp: int, step: dt.timedelta) -> dt.datetime:
    return _EPOCH + dt.timedelta(milliseconds=stamp) + step
