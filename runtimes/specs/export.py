"""ExportSpec: which rows of a table become one Parquet file."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from runtimes.specs.data import DataSpec
from runtimes.words import Day, SymbolText, at

TABLE = r"^alphaswarm_(bronze|silver|gold)_[a-z][a-z0-9]*\.[a-z][a-z0-9_]{0,127}$"


class ExportSpec(DataSpec):
    """One export: these ``columns`` (null: all) of the rows that the other keys let through.

    ``symbols``, ``start`` and ``end`` (UTC days, both inclusive) restrict a table that has them.
    ``as_of`` is a snapshot id or an RFC 3339 time. ``adjust`` and ``revisions`` are for bars.
    """

    task: Literal["export"] = "export"
    table: Annotated[str, Field(pattern=TABLE)]
    columns: (
        Annotated[
            tuple[Annotated[str, Field(min_length=1, max_length=128)], ...],
            Strict(strict=False),
            Field(min_length=1, max_length=1_000),
        ]
        | None
    ) = None
    symbols: (
        Annotated[
            tuple[SymbolText, ...], Strict(strict=False), Field(min_length=1, max_length=5_000)
        ]
        | None
    ) = None
    start: Day | None = None
    end: Day | None = None
    as_of: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    adjust: Literal["none", "split", "total"] = "none"
    revisions: Literal["latest", "first"] = "latest"

    @model_validator(mode="after")
    def _makes_sense(self) -> Any:
        if self.start and self.end and self.end < self.start:
            raise at("end", str(self.end), PydanticCustomError("period", "end lies before start."))
        for name in ("columns", "symbols"):
            given = getattr(self, name)
            if given is not None and len(set(given)) != len(given):
                problem = PydanticCustomError("twice", "{name} names one twice.", {"name": name})
                raise at(name, list(given), problem)
        if self.as_of is not None and not _moment(self.as_of):
            problem = PydanticCustomError(
                "as_of", "Write a snapshot id, or a time with a zone: 2024-01-31T00:00:00Z."
            )
            raise at("as_of", self.as_of, problem)
        return self


def _moment(text: str) -> bool:
    """Tell whether ``text`` is a snapshot id or a time with a zone."""
    try:
        return text.isdecimal() or dt.datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
