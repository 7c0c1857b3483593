"""IngestSpec: which data a provider brings into the lake, and how its columns are to be read."""

from __future__ import annotations

import re
import zoneinfo
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from lakehouse.providers import PROVIDERS
from runtimes.part import Part
from runtimes.specs.data import DataSpec
from runtimes.specs.words import SymbolText, unknown
from topology.errors import nearest

BARS = ("vt_symbol", "timestamp", "open", "high", "low", "close", "volume", "currency")
"""Columns of a bar that a file may bring; ``currency`` and ``vt_symbol`` may be constants."""
TABLES = r"^alphaswarm_silver_[a-z0-9]+\.bars_(1d|1h|1m)$"
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


def _provider(name: str) -> str:
    if name not in PROVIDERS:
        raise unknown("data provider", name, PROVIDERS.names())
    return name


def _zone(name: str) -> str:
    zones = zoneinfo.available_timezones()
    if name not in zones:
        raise PydanticCustomError(
            "time_zone",
            "No time zone is called '{name}'.",
            {"name": name[:64], "nearest": nearest(name[:64], zones)},
        )
    return name


def _clock(text: str) -> str:
    if not _CLOCK.fullmatch(text):
        raise PydanticCustomError("clock", "Write a time of day as HH:MM, for example 16:00.")
    return text


def _mapping(columns: dict[str, str]) -> dict[str, str]:
    for ours, theirs in columns.items():
        if ours not in BARS:
            raise unknown("column of a bar", ours, list(BARS))
        if not theirs and ours != "volume":
            raise PydanticCustomError("column", "Only volume may be missing from the file.")
    return dict(sorted(columns.items()))


class Reading(Part):
    """How the rows of a file become bars.

    ``columns`` maps our names to the file's, where they differ by more than case and spaces;
    ``volume: ""`` says that there is none.
    A timestamp without a zone is read in ``timezone``; a date without a time is the bar that ends
    at ``close`` of that day there. ``vt_symbol`` and ``currency`` stand in for missing columns.
    """

    columns: Annotated[dict[str, str], AfterValidator(_mapping)] = Field(default_factory=dict)
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    close: Annotated[str, AfterValidator(_clock)] = "16:00"
    vt_symbol: SymbolText | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"


class IngestSpec(DataSpec):
    """One ingest: ``provider`` to bronze as it came, then typed and deduplicated to ``table``.

    ``path`` names a file for the provider ``files`` and nothing else; ``symbols`` null takes all
    that there are.
    """

    task: Literal["ingest"] = "ingest"
    provider: Annotated[str, AfterValidator(_provider)]
    path: Annotated[str, Field(min_length=1, max_length=4_096)] | None = None
    table: Annotated[str, Field(pattern=TABLES)] = "alphaswarm_silver_market.bars_1d"
    symbols: (
        Annotated[
            tuple[SymbolText, ...], Strict(strict=False), Field(min_length=1, max_length=5_000)
        ]
        | None
    ) = None
    reading: Reading = Reading()

    @model_validator(mode="after")
    def _path_belongs_to_files(self) -> Any:
        if (self.provider == "files") != (self.path is not None):
            raise PydanticCustomError(
                "path", "Give a path with the provider 'files', and with no other."
            )
        return self
