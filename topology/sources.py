"""Section ``providers``: remote sources of market data, described so that no code knows them."""

from __future__ import annotations

import re
import string
import zoneinfo
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt

from topology.errors import BadInputError, did_you_mean
from topology.fields import Name, Seconds, Section, WebUrl, web_url
from topology.symbols import Symbol

PLACES = ("symbol", "start", "end", "resolution", "page", "offset", "size", "cursor")
"""What a URL template may hold in braces."""
Resolution = Literal["1m", "1h", "1d"]

_COLUMNS = ("vt_symbol", "timestamp", "open", "high", "low", "close", "volume", "currency")
_FIELD = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$"
_PLAIN = r"^[ -~]{0,256}$"
_KEYS = re.compile(r"(?i)key|token|secret|password|auth|signature")


def _places(text: str) -> set[str]:
    try:
        parsed = [
            (name, more) for _, name, *more in string.Formatter().parse(text) if name is not None
        ]
    except ValueError as error:
        raise ValueError("holds a brace that is not closed") from error
    for name, more in parsed:
        if name not in PLACES or any(more):
            raise ValueError(f"{{{name}}} is no place. {did_you_mean(name, PLACES)}".rstrip())
    return {name for name, _ in parsed}


def _template(text: str) -> str:
    """Return a URL template whose scheme, host and port are fixed, and that holds no secret."""
    origin, mark, query = text.partition("?")
    if "#" in text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must have no fragment, blank or letter beyond ASCII")
    _places(text)
    if "{" in urlsplit(origin).netloc:
        raise ValueError("must name its host; only path and query have places")
    web_url(origin.format(**dict.fromkeys(PLACES, "x")).rstrip("/"))
    for name, value in parse_qsl(query) if mark else ():
        if _KEYS.search(name) and "{" not in value:
            raise ValueError(f"must hold no key: write query: {{{name}: {{credential: NAME}}}}")
    return text


def _zone(name: str) -> str:
    if name not in zoneinfo.available_timezones():
        raise ValueError("must be a time zone such as America/New_York")
    return name


def _vt_symbol(text: str) -> str:
    try:
        return str(Symbol.parse(text))
    except BadInputError as error:
        raise ValueError("must be TICKER.EXCHANGE in capitals") from error


def _mapping(columns: dict[str, str]) -> dict[str, str]:
    for ours in columns:
        if ours not in _COLUMNS:
            raise ValueError(f"{ours[:64]!r} is no column. {did_you_mean(ours, _COLUMNS)}")
    return columns


class FromCredential(Section):
    """A value that is a secret: the credential's, after a ``prefix`` such as ``Bearer``."""

    credential: Name
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z]{0,16} ?$")] = ""


Sent = Annotated[str, Field(pattern=_PLAIN)] | FromCredential
"""A header or a query value."""


class Bounds(Section):
    """How patient a provider is, and how much it takes in.

    ``timeout_s`` bounds one request as a whole, ``attempts`` how often it is made with pauses that
    begin at ``wait_s`` and double, ``per_second`` how many there are, ``page_bytes`` the size of
    one answer, ``pages`` their number per symbol.
    """

    timeout_s: Seconds = 30
    attempts: Annotated[int, Field(ge=1, le=20)] = 5
    wait_s: Seconds = 1
    per_second: Annotated[PositiveFloat, Field(le=1_000)] = 5
    page_bytes: Annotated[int, Field(ge=1_024, le=1 << 30)] = 64 << 20
    pages: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000


class Times(Section):
    """How an endpoint writes times: those of its rows, and those that it is ``asked`` for.

    ``unit`` ``text`` is ISO 8601, the others count since 1970. A time without a zone is one in
    ``timezone``; a date is the bar that ends at ``close`` of that day there; ``label`` says
    whether a row's time is the bar's start or its end.
    """

    unit: Literal["text", "s", "ms", "us", "ns"] = "text"
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    close: Annotated[str, Field(pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$")] = "16:00"
    label: Literal["end", "start"] = "end"
    asked: Literal["date", "iso", "s", "ms"] = "date"


class OnePage(Section):
    """One answer per symbol."""

    kind: Literal["none"] = "none"


class Pages(Section):
    """``{page}`` counts from ``first``, ``{offset}`` rows from 0, until a page is empty.

    Where ``size`` is given a page that is not full is the last.
    """

    kind: Literal["page"]
    first: Annotated[int, Field(ge=0, le=1)] = 1
    size: PositiveInt | None = None


class Cursor(Section):
    """``{cursor}`` is what the answer before holds at ``path``, until there is none."""

    kind: Literal["cursor"]
    path: Annotated[str, Field(min_length=1)]
    size: PositiveInt | None = None


class Link(Section):
    """The next address is in the header ``Link: <..>; rel="next"`` or in the answer at ``path``."""

    kind: Literal["link"]
    path: Annotated[str, Field(min_length=1)] | None = None
    size: PositiveInt | None = None


Pagination = Annotated[OnePage | Pages | Cursor | Link, Field(discriminator="kind")]


def _daily() -> dict[Resolution, str]:
    return {"1d": "1d"}


class HttpSource(Section):
    """An endpoint that answers GET with JSON or CSV.

    ``rows`` is the path to the rows in JSON (``data.bars``; empty: the answer itself): a list of
    objects, a list of lists whose columns are "0", "1" ..., or an object of lists. ``columns``
    maps our names to the endpoint's, ``symbols`` ours to its own (otherwise the ticker), and a
    symbol that comes without an exchange gets ``exchange``. ``resolutions`` says which bars there
    are and how ``{resolution}`` writes them.
    """

    kind: Literal["http"]
    url: Annotated[str, AfterValidator(_template)]
    headers: dict[Annotated[str, Field(pattern=_FIELD)], Sent] = Field(default_factory=dict)
    query: dict[Annotated[str, Field(pattern=_FIELD)], Sent] = Field(default_factory=dict)
    format: Literal["json", "csv"] = "json"
    rows: str = ""
    columns: Annotated[dict[str, str], AfterValidator(_mapping)] = Field(default_factory=dict)
    symbols: dict[Annotated[str, AfterValidator(_vt_symbol)], str] = Field(default_factory=dict)
    exchange: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{0,15}$")] | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3,5}$")] = "USD"
    resolutions: dict[Resolution, str] = Field(default_factory=_daily, min_length=1)
    times: Times = Times()
    pagination: Pagination = OnePage()
    bounds: Bounds = Bounds()

    @property
    def places(self) -> set[str]:
        """Return what the template asks for."""
        return _places(self.url)


class LibrarySource(Section):
    """A provider that another library speaks to.

    ``mirror`` is asked instead of every host of the vendor: ``MIRROR/HOST/path``.
    """

    kind: Literal["yfinance", "ccxt"]
    mirror: WebUrl | None = None
    bounds: Bounds = Bounds(per_second=2)


Source = Annotated[HttpSource | LibrarySource, Field(discriminator="kind")]
