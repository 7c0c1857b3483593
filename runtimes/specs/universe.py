"""Which symbols a spec is about: a fixed list, or a universe that knows who belonged when."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, Strict
from pydantic_core import PydanticCustomError

from runtimes.part import Part
from runtimes.words import SymbolText

SYMBOLS = 5_000
NAMED = r"^[a-z][a-z0-9_.-]{0,63}$"


def _distinct(symbols: tuple[str, ...]) -> tuple[str, ...]:
    """Return the sorted symbols; checked here, so that a bad one is not also a missing one."""
    if not 1 <= len(symbols) <= SYMBOLS:
        raise PydanticCustomError("length", "Name 1 to {most} symbols.", {"most": SYMBOLS})
    ordered = tuple(sorted(symbols))
    twice = next((a for a, b in pairwise(ordered) if a == b), None)
    if twice:
        raise PydanticCustomError("duplicate", "{symbol} stands twice.", {"symbol": twice})
    return ordered


class Universe(Part):
    """The symbols, a fixed list; their order does not matter and is sorted."""

    symbols: Annotated[
        tuple[SymbolText, ...],
        Strict(strict=False),
        Field(json_schema_extra={"minItems": 1, "maxItems": SYMBOLS}),
        AfterValidator(_distinct),
    ]


class Members(Part):
    """A point-in-time universe: whoever belonged to it on the day of a bar."""

    name: Annotated[str, Field(pattern=NAMED)]


def _either(value: Any) -> Any:
    """Take a mapping with a name and no symbols for a named universe."""
    if not isinstance(value, dict):
        return value
    named = "name" in value and "symbols" not in value
    return (Members if named else Universe).model_validate(value)


AnyUniverse = Annotated[Universe | Members, BeforeValidator(_either)]
