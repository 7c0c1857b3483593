"""Terms of trade in a spec: smallest pieces, price steps, and what foreign money is worth."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic_core import PydanticCustomError

from runtimes.part import Finite
from runtimes.words import SymbolText, at
from topology.symbols import Symbol

Step = Annotated[Finite, Field(ge=0, le=1e9)]
Piece = Annotated[Finite, Field(gt=0, le=1e9)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3,5}$")]
Rate = Annotated[SymbolText | Piece, Field(union_mode="left_to_right")]
BARS = r"^alphaswarm_silver_[a-z0-9]+\.bars_(1d|1h|1m)$"


def inverse(rate: str, currency: str, account: str) -> bool:
    """Tell whether ``rate`` is what the account's money is worth in ``currency``, not the reverse.

    The ticker of a forex symbol is both currencies, the one that is priced first: EURUSD is dollars
    for a euro. Another ticker raises the problem at its key of ``portfolio.rates``.
    """
    ticker = Symbol.parse(rate).ticker
    if ticker in (account + currency, currency + account):
        return ticker == account + currency
    problem = PydanticCustomError(
        "rate",
        "{rate} is no rate between {currency} and {account}: {direct} or {other} would be.",
        {
            "rate": rate,
            "currency": currency,
            "account": account,
            "direct": currency + account,
            "other": account + currency,
        },
    )
    raise at(currency, rate, problem)
