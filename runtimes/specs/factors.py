"""What a backtest's returns are explained by: closes of symbols, or columns of factor returns."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, Strict
from pydantic_core import PydanticCustomError

from runtimes.part import Part
from runtimes.words import SymbolText

MOST = 20
_TABLE = r"^alphaswarm_(silver|gold)_[a-z0-9]+\.[a-z][a-z0-9_]*$"
_COLUMN = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise PydanticCustomError("duplicate", "{name} stands twice.", {"name": twice})
    return names


class SymbolFactors(Part):
    """Returns of these symbols' closes, of the table of the bars."""

    symbols: Annotated[
        tuple[SymbolText, ...],
        Strict(strict=False),
        Field(min_length=1, max_length=MOST),
        AfterValidator(_once),
    ]

    @property
    def names(self) -> tuple[str, ...]:
        """Return what the factors are called."""
        return self.symbols


class TableFactors(Part):
    """Columns of simple returns per bar, in the rows of ``symbol`` of a silver or gold table.

    ``snapshot_id`` null is the newest when the run is claimed.
    """

    table: Annotated[str, Field(pattern=_TABLE)]
    symbol: SymbolText
    columns: Annotated[
        tuple[Annotated[str, Field(pattern=_COLUMN)], ...],
        Strict(strict=False),
        Field(min_length=1, max_length=MOST),
        AfterValidator(_once),
    ]
    snapshot_id: Annotated[str, Field(pattern=r"^[0-9]{1,20}$")] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Return what the factors are called."""
        return self.columns


def _either(value: Any) -> Any:
    """Take a mapping with symbols for closes, any other for a table."""
    if not isinstance(value, dict):
        return value
    return (SymbolFactors if "symbols" in value else TableFactors).model_validate(value)


AnyFactors = Annotated[SymbolFactors | TableFactors, BeforeValidator(_either)]
