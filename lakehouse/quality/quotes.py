"""Rules on bars of quotes."""

from __future__ import annotations

from lakehouse.quality.rule import Scope, each, rule


@rule(
    "warning",
    "Nobody bids more than others ask for: one of the sides is late or wrong.",
    kinds=("quotes",),
)
def crossed(scope: Scope) -> str:
    """Find bars that open or close with the bid above the ask."""
    del scope
    return each(
        "greatest(bid_open - ask_open, bid_close - ask_close) / nullif(ask_close, 0)",
        "format('open {:g} / {:g}, close {:g} / {:g}', bid_open, ask_open, bid_close, ask_close)",
        "bid_open > ask_open OR bid_close > ask_close",
    )


@rule(
    "info",
    "One side of the book is empty: the middle is only that of the other side.",
    kinds=("quotes",),
)
def one_sided(scope: Scope) -> str:
    """Find bars that have no bid or no ask at their close."""
    del scope
    return each(
        "1",
        "CASE WHEN bid_close IS NULL THEN 'no bid' ELSE 'no ask' END",
        "(bid_close IS NULL) <> (ask_close IS NULL)",
    )
