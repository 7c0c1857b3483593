"""IngestSpec: which data a provider brings into the lake, and how its columns are to be read."""

from __future__ import annotations

import re
import zoneinfo
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from lakehouse.providers import PROVIDERS, REMOTE, WITH_PATH
from runtimes.part import Part
from runtimes.specs.data import DataSpec
from runtimes.words import Day, SymbolText, at, unknown
from topology.errors import nearest

COLUMNS = (
    *("vt_symbol", "timestamp", "open", "high", "low", "close", "volume", "currency"),
    *("bid_open", "bid_high", "bid_low", "bid_close", "bid_size"),
    *("ask_open", "ask_high", "ask_low", "ask_close", "ask_size"),
    *("date", "price_factor", "split_factor"),
    *("ticker", "exchange", "valid_from", "valid_to"),
    *("universe", "date_from", "date_to"),
)
"""What a file may bring; ``currency`` and ``vt_symbol`` may be constants."""
TABLES = (
    r"^alphaswarm_silver_[a-z][a-z0-9]*"
    r"\.((bars|quotes)_(1d|1h|1m)|adjustments|symbol_map|universes)$"
)
_CLOCK = re.compile(r"(([01]\d|2[0-3]):[0-5]\d)|24:00")


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
        raise PydanticCustomError("clock", "Write a time of day as HH:MM, from 00:00 to 24:00.")
    return text


def _mapping(columns: dict[str, str]) -> dict[str, str]:
    for ours, theirs in columns.items():
        if ours not in COLUMNS:
            raise unknown("column of a bar", ours, list(COLUMNS))
        if not theirs and ours != "volume":
            raise PydanticCustomError("column", "Only volume may be missing from the file.")
    return dict(sorted(columns.items()))


class Reading(Part):
    """How the rows of a file become bars or quotes.

    ``columns`` maps our names to the file's, where they differ by more than case and spaces;
    ``volume: ""`` says that there is none. A timestamp without a zone is read in ``timezone``; a
    date without a time is the bar that ends at ``close`` of that day there. ``label`` says whether
    a time is the bar's end or its start, ``fold`` which of two is meant when clocks go back.
    ``vt_symbol`` and ``currency`` stand in for missing columns; ``vt_symbol_from: file`` takes the
    symbol from the file's name, and ``exchange`` is appended to every ticker. ``redenominated``
    has the day from which a symbol's prices are in another currency than before.
    """

    columns: Annotated[dict[str, str], AfterValidator(_mapping)] = Field(default_factory=dict)
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    close: Annotated[str, AfterValidator(_clock)] = "16:00"
    label: Literal["end", "start"] = "end"
    fold: Literal["first", "second"] | None = None
    vt_symbol: SymbolText | None = None
    vt_symbol_from: Literal["column", "file"] = "column"
    exchange: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{0,15}$")] | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3,5}$")] = "USD"
    redenominated: dict[SymbolText, Day] = Field(default_factory=dict)


class IngestSpec(DataSpec):
    """One ingest: ``provider`` to bronze as it came, then typed and deduplicated to ``table``.

    ``path`` names a file, a folder or a glob for a provider that reads some, ``endpoint`` the
    topology's entry for one that asks a machine elsewhere; ``start`` and ``end`` bound what that
    one fetches. ``symbols`` null takes all that there are. ``table`` holds bars, quotes, or what
    is known beside them: ``adjustments``, ``symbol_map``, ``universes``.
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
    start: Day | None = None
    end: Day | None = None
    endpoint: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")] | None = None
    reading: Reading = Reading()

    @model_validator(mode="after")
    def _path_belongs_to_files(self) -> Any:
        if (self.provider in WITH_PATH) != (self.path is not None):
            problem = PydanticCustomError(
                "path",
                "Give a path with the providers {names}, and with no other.",
                {"names": " and ".join(sorted(WITH_PATH))},
            )
            raise at("path", self.path, problem)
        self._asks_somebody()
        if self.start and self.end and self.start > self.end:
            problem = PydanticCustomError("period", "The period ends before it starts.")
            raise at("end", str(self.end), problem)
        return self

    def _asks_somebody(self) -> None:
        if self.endpoint is not None and self.provider not in REMOTE:
            problem = PydanticCustomError(
                "endpoint",
                "Give an endpoint with the providers {names}, and with no other.",
                {"names": ", ".join(sorted(REMOTE))},
            )
            raise at("endpoint", self.endpoint, problem)
        if self.provider == "http" and self.endpoint is None:
            problem = PydanticCustomError(
                "endpoint", "Name an endpoint that the topology describes under providers."
            )
            raise at("endpoint", None, problem)
        if self.provider in REMOTE - {"http"} and self.symbols is None:
            problem = PydanticCustomError(
                "symbols",
                "Name symbols: {name} has more than anybody wants.",
                {"name": self.provider},
            )
            raise at("symbols", None, problem)
