"""How Yahoo writes the symbols of exchanges, and when it lets their days end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lakehouse.errors import ProviderError
from topology.errors import UnknownNameError, did_you_mean, nearest
from topology.symbols import Symbol


@dataclass(frozen=True, slots=True)
class Venue:
    """``suffix`` behind a ticker, the ``close`` that its daily bars end at, Yahoo's ``codes``."""

    suffix: str
    close: str
    codes: frozenset[str]


def _venue(suffix: str, close: str, *codes: str) -> Venue:
    return Venue(suffix, close, frozenset(codes))


VENUES: Mapping[str, Venue] = {
    "AMEX": _venue("", "16:00", "ASE"),
    "ARCA": _venue("", "16:00", "PCX"),
    "BATS": _venue("", "16:00", "BTS"),
    "NASDAQ": _venue("", "16:00", "NMS", "NGM", "NCM"),
    "NYSE": _venue("", "16:00", "NYQ"),
    "ASX": _venue(".AX", "16:00", "ASX"),
    "CRYPTO": _venue("", "24:00", "CCC"),
    "HKEX": _venue(".HK", "16:00", "HKG"),
    "JPX": _venue(".T", "15:30", "JPX"),
    "KRX": _venue(".KS", "15:30", "KSC"),
    "LSE": _venue(".L", "16:30", "LSE"),
    "NSE": _venue(".NS", "15:30", "NSI"),
    "SIX": _venue(".SW", "17:30", "EBS"),
    "SSE": _venue(".SS", "15:00", "SHH"),
    "SZSE": _venue(".SZ", "15:00", "SHZ"),
    "TSX": _venue(".TO", "16:00", "TOR"),
    "XETRA": _venue(".DE", "17:30", "GER"),
}
_QUOTE_LETTERS = 3


def venue_of(symbol: str) -> Venue:
    """Return the venue of ``TICKER.EXCHANGE``; one that is not here raises ``unknown_name``."""
    exchange = Symbol.parse(symbol).exchange
    if exchange not in VENUES:
        raise UnknownNameError(
            f"yfinance knows no exchange {exchange!r} of ours.",
            hint=did_you_mean(exchange, VENUES),
            value=symbol,
            nearest=nearest(exchange, VENUES),
        )
    return VENUES[exchange]


def theirs(symbol: str) -> str:
    """Return a symbol as Yahoo writes it: ``BRK-B``, ``VOD.L``, ``BTC-USD``."""
    parsed = Symbol.parse(symbol)
    if parsed.exchange == "CRYPTO":
        return f"{parsed.ticker[:-_QUOTE_LETTERS]}-{parsed.ticker[-_QUOTE_LETTERS:]}"
    return parsed.ticker.replace(".", "-").replace("/", "-") + venue_of(symbol).suffix


def refuse_elsewhere(symbol: str, code: str) -> None:
    """Raise ``unknown_name`` where Yahoo lists the ticker at another exchange of ours.

    Rows under a wrong exchange would be another identity for good.
    """
    owner = next((name for name, venue in VENUES.items() if code in venue.codes), None)
    if owner is None:
        raise ProviderError(
            f"Yahoo has {symbol!r} at an exchange {code[:16]!r} that is not known here.",
            hint="Nothing was written. Leave the symbol out.",
            symbol=symbol,
            exchange=code[:16],
        )
    parsed = Symbol.parse(symbol)
    if owner != parsed.exchange:
        right = f"{parsed.ticker}.{owner}"
        raise UnknownNameError(
            f"Yahoo has no {symbol!r}: the ticker is listed at {owner}.",
            hint=f"Write {right}.",
            value=symbol,
            nearest=[right],
        )
