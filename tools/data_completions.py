"""Values for the arguments of the prompts and resources of ``data``, from the lake as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tools import tables as shown
from tools.registry import Office, completion
from topology.errors import BadInputError, MissingError

BARS = "alphaswarm_silver_market.bars_1d"
Given = Mapping[str, str]
NOTHING = (MissingError, BadInputError)
"""What is raised for a table that is not there yet, or that holds no bars: it has no values."""


@completion(server="data", argument="table")
@completion(server="data", argument="name")
def tables(value: str, *, office: Office) -> list[str]:
    """Return the tables whose name begins with ``value``, or whose own name does."""
    from lakehouse import query

    return [
        name
        for name in query.tables(office.lake)
        if name.startswith(value) or name.partition(".")[2].startswith(value)
    ]


@completion(server="data", argument="symbol")
def symbols(value: str, *, office: Office, given: Given) -> list[str]:
    """Return the symbols and former tickers of the table that begin with ``value``."""
    from lakehouse import identity

    table = _table(given)
    try:
        held = {row.vt_symbol for row in shown.coverage(office, table)}
    except NOTHING:
        return []
    held |= {fact.name for fact in identity.tickers(office.lake, table)}
    return sorted(_beginning(value.upper(), held))


@completion(server="data", argument="column")
def columns(value: str, *, office: Office, given: Given) -> list[str]:
    """Return the columns of the table that begin with ``value``, in the table's order."""
    from lakehouse import about

    try:
        found = about.describe(office.lake, _table(given))
    except NOTHING:
        return []
    return _beginning(value, [one.name for one in found.columns])


@completion(server="data", argument="operator")
def operators(value: str) -> list[str]:
    """Return the operators of the expression language that begin with ``value``, in any case."""
    from lakehouse.features.operators import OPERATORS

    return [name for name in OPERATORS if name.lower().startswith(value.lower())]


@completion(server="data", argument="feature_set")
def feature_sets(value: str) -> list[str]:
    """Return the named feature sets that begin with ``value``."""
    from lakehouse.features.sets import SETS

    return _beginning(value, SETS.names())


def _table(given: Given) -> str:
    return given.get("table") or given.get("name") or BARS


def _beginning(value: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(value)]
