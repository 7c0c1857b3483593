"""Provider ``http``: any endpoint that the topology describes; each answer with rows is a payload.

Secrets go from the credential into the request and nowhere else: what is shown, hashed or kept has
them cut out, also where the vendor repeats them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from urllib.parse import quote, quote_plus, urlencode

import pyarrow as pa

from lakehouse.errors import ProviderError
from lakehouse.providers import pages, times
from lakehouse.providers.base import Batch, Fact, Payload, Reading, Request
from lakehouse.providers.pages import Page
from lakehouse.providers.paging import Place, StrayError
from lakehouse.providers.patience import Patience
from lakehouse.providers.remote import (
    SYMBOL,
    TIME,
    Remote,
    digest_of,
    now_of,
    payload,
    remote_of,
    spilled,
    window,
)
from lakehouse.providers.wire import Answer, Wire
from topology.errors import BadInputError, CredentialError, did_you_mean, nearest
from topology.sources import FromCredential, HttpSource
from topology.symbols import Symbol

_HIDDEN = b"[hidden]"
_ACCEPT = {"json": "application/json", "csv": "text/csv"}
_INSTANT = dt.timedelta(microseconds=1)
_SHORTEST = 6
"""Characters of a secret that is looked for in answers; shorter ones are words of any text."""


class Http:
    """Asks an endpoint page by page: per symbol where its address has a place for one."""

    def fetch(self, request: Request) -> Iterator[Payload]:
        """Yield the pages; an endpoint that stays unusable raises ``provider_error``."""
        endpoint = _Endpoint(request)
        for symbol in endpoint.symbols():
            yield from endpoint.pages(symbol)

    def reading(self, request: Request) -> Reading:
        """Return what the topology says about the endpoint's columns and times."""
        source = _source(remote_of(request))
        return Reading(
            columns={**source.columns, "vt_symbol": SYMBOL, "timestamp": TIME},
            timezone=source.times.timezone,
            close=source.times.close,
            label=source.times.label,
            currency=source.currency,
        )

    def rows(self, rows: pa.Table) -> pa.Table:
        """Return the rows: what ours needs stands beside the vendor's columns already."""
        return rows

    def facts(self, request: Request) -> Mapping[Fact, pa.Table]:
        """Return nothing: an endpoint of bars says nothing about splits."""
        return {}


class _Endpoint:
    """One ingest from one endpoint."""

    def __init__(self, request: Request) -> None:
        remote = remote_of(request)
        self.request, self.name, self.source = request, remote.name, _source(remote)
        if request.kind != "bars" or request.resolution not in self.source.resolutions:
            known = ", ".join(self.source.resolutions)
            raise BadInputError(
                f"{self.name!r} has no {request.kind} of {request.resolution}, but of {known}.",
                hint="Choose another table, or add it to its resolutions in the topology.",
                table=request.table,
            )
        bounds = self.source.bounds
        self.patience = Patience(self.name, bounds, request.progress)
        self.wire = Wire(remote.guard, timeout_s=bounds.timeout_s, most_bytes=bounds.page_bytes)
        self.headers, self.secret_headers = _sent(self.source.headers, remote)
        self.query, self.secret_query = _sent(self.source.query, remote)
        sent = (*self.source.headers.values(), *self.source.query.values())
        named = {one.credential for one in sent if isinstance(one, FromCredential)}
        self.secrets = [_sendable(name, remote) for name in sorted(named)]
        self.fetched = 0

    def symbols(self) -> list[str | None]:
        """Return whom to ask for: nobody in particular where the address has no place for it."""
        if "symbol" not in self.source.places:
            return [None]
        if not self.request.symbols:
            raise BadInputError(
                f"{self.name!r} is asked symbol by symbol.",
                hint="Name symbols, for example AAPL.NASDAQ.",
                path="symbols",
            )
        return list(self.request.symbols)

    def pages(self, symbol: str | None) -> Iterator[Payload]:
        """Yield the pages of a symbol that hold rows."""
        place = Place.first(self.source)
        while True:
            what = f"{symbol or 'all symbols'}, page {place.number}"
            url = place.link or self._url(symbol, place)
            answer, page = self.patience.ask(what, partial(self._page, url))
            if page.rows and place.again(digest_of(answer.body)):
                raise self._stuck(what, "it gives the same page again and again.")
            origin = f"http:{self.name}/{symbol or 'all'}/{place.number}"
            found = self._payload(answer, page, symbol, origin) if page.rows else None
            if found is not None:
                yield found
            self._tell(what, page.rows)
            try:
                if not place.move(self.source, url, answer, page, self.secret_query):
                    return
            except StrayError as error:
                raise self._stuck(f"what follows {what}", str(error)) from error
            if place.number > self.source.bounds.pages:
                raise self._stuck(what, "there are more pages than bounds.pages.")

    def _tell(self, what: str, rows: int) -> None:
        self.fetched += rows
        if self.request.progress is not None:
            self.request.progress.emit(
                "rows.processed",
                f"{self.name}: {what}, {rows} rows.",
                current=self.fetched,
                total=None,
            )

    def _page(self, url: str) -> tuple[Answer, Page]:
        answer = self.wire.get(
            _with(url, {**self.query, **self.secret_query}),
            {"Accept": _ACCEPT[self.source.format], **self.headers},
            secret=self.secret_headers,
        ).checked()
        answer = replace(answer, body=self._masked(answer.body))
        return answer, pages.read(answer, self.source)

    def _masked(self, body: bytes) -> bytes:
        for secret in self.secrets:
            for written in (secret, quote(secret, safe=""), quote_plus(secret)):
                if len(written) >= _SHORTEST:
                    body = body.replace(written.encode(), _HIDDEN)
        return body

    def _url(self, symbol: str | None, place: Place) -> str:
        source = self.source
        values: dict[str, object] = {
            "symbol": quote(self._theirs(symbol), safe="") if symbol else "",
            "resolution": source.resolutions[self.request.resolution],
            "page": place.page,
            "offset": place.offset,
            "size": getattr(source.pagination, "size", None) or "",
            "cursor": quote(place.cursor, safe=""),
        }
        if source.places & {"start", "end"}:
            symbols = [symbol] if symbol else self.request.symbols or ()
            start, end = window(self.request, symbols, source.times.timezone)
            values["start"] = quote(times.asked(start, source.times), safe="")
            values["end"] = quote(times.asked(end - _INSTANT, source.times), safe="")
        return source.url.format(**values)

    def _theirs(self, symbol: str) -> str:
        return self.source.symbols.get(symbol) or Symbol.parse(symbol).ticker

    def _payload(
        self, answer: Answer, page: Page, symbol: str | None, origin: str
    ) -> Payload | None:
        """Return a page with rows as a payload, None where every bar of it still grows."""
        dressed = tuple(self._dressed(batch, symbol) for batch in page.batches)
        left = sum(batch.rows.num_rows + len(batch.broken) for batch in dressed)
        if not left:
            return None
        digest = digest_of(answer.body, symbol or "", str(left))
        load = spilled(self.request, digest, answer.body)

        def opened() -> Iterator[Batch]:
            again = pages.read(replace(answer, body=load()), self.source)
            return (self._dressed(batch, symbol) for batch in again.batches)

        schema = dressed[0].rows.schema
        return payload("http", self.name, digest, origin, opened, schema)

    def _dressed(self, batch: Batch, symbol: str | None) -> Batch:
        """Return rows with the symbol and the time as we write them, finished bars alone."""
        rows, source = batch.rows, self.source
        stamps = self._column(rows, "timestamp").to_pylist()
        if symbol is None:
            owners = [self._ours(text) for text in self._column(rows, "vt_symbol").to_pylist()]
        else:
            owners = [symbol] * rows.num_rows
        resolution, now = self.request.resolution, now_of(self.request)
        shown = [times.written(text, source.times, resolution) for text in stamps]
        ends = (times.ends(text, source.times, resolution) for text in stamps)
        whole = [end is None or end <= now for end in ends]
        rows = rows.append_column(SYMBOL, pa.array(owners, pa.string()))
        rows = rows.append_column(TIME, pa.array(shown, pa.string()))
        return Batch(rows.filter(pa.array(whole, pa.bool_())), batch.broken)

    def _column(self, rows: pa.RecordBatch, ours: str) -> pa.Array:
        theirs = self.source.columns.get(ours, ours)
        if theirs not in rows.schema.names:
            raise ProviderError(
                f"{self.name!r} gives no column {theirs!r} ({ours}).",
                hint=f"{did_you_mean(theirs, rows.schema.names)} Correct "
                f"providers.{self.name}.columns in the topology. Nothing was written.",
                provider=self.name,
                given=rows.schema.names[:50],
                nearest=nearest(theirs, rows.schema.names),
            )
        return rows.column(theirs)

    def _ours(self, text: str | None) -> str | None:
        """Return a vendor's symbol as TICKER.EXCHANGE where the topology says how."""
        if text is None:
            return None
        known = {theirs: ours for ours, theirs in self.source.symbols.items()}
        if text in known or self.source.exchange is None:
            return known.get(text, text)
        return f"{text.strip().upper()}.{self.source.exchange}"

    def _stuck(self, what: str, sentence: str) -> ProviderError:
        return ProviderError(
            f"{self.name!r} gave nothing usable for {what}: {sentence}",
            hint=f"Nothing was written. Correct providers.{self.name}.pagination in the topology.",
            provider=self.name,
            reason="pagination",
        )


def _source(remote: Remote) -> HttpSource:
    if not isinstance(remote.source, HttpSource):
        raise BadInputError(
            f"{remote.name!r} is no source of kind http.", hint="Name one that is.", path="endpoint"
        )
    return remote.source


def _sent(
    values: Mapping[str, str | FromCredential], remote: Remote
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the plain values and the secret ones."""
    plain, secret = {}, {}
    for name, value in values.items():
        if isinstance(value, FromCredential):
            secret[name] = value.prefix + _sendable(value.credential, remote)
        else:
            plain[name] = value
    return plain, secret


def _sendable(credential: str, remote: Remote) -> str:
    """Return a secret; one with a line break would be another header, and stand in an error."""
    secret = remote.secret(credential).get_secret_value()
    if not secret.isascii() or not secret.isprintable():
        raise CredentialError(
            f"The credential {credential!r} holds a character that cannot be sent.",
            hint="Write it anew: one line of plain ASCII.",
            reference=credential,
        )
    return secret


def _with(url: str, query: Mapping[str, str]) -> str:
    if not query:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"
