"""`Symbol.parse`, and nothing else, splits a ``vt_symbol``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from topology.errors import BadInputError

_TICKER = re.compile(r"^[A-Z0-9][A-Z0-9._\-/^]{0,31}$")
_EXCHANGE = re.compile(r"^[A-Z][A-Z0-9]{0,15}$")


@dataclass(frozen=True, slots=True, order=True)
class Symbol:
    """An instrument on a venue, written ``TICKER.EXCHANGE``; the ticker may hold dots."""

    ticker: str
    exchange: str

    @classmethod
    def parse(cls, text: str) -> Symbol:
        """Split at the last dot; anything else raises ``invalid_arguments``."""
        ticker, dot, exchange = text.rpartition(".")
        if not dot or not _TICKER.fullmatch(ticker) or not _EXCHANGE.fullmatch(exchange):
            raise BadInputError(
                f"{text[:64]!r} is not a symbol.",
                hint="Write TICKER.EXCHANGE in capitals, for example AAPL.NASDAQ.",
                value=text[:64],
            )
        return cls(ticker, exchange)

    def __str__(self) -> str:
        return f"{self.ticker}.{self.exchange}"
