"""Where a Lean data folder keeps what: one zip per symbol, or per symbol and day for minutes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lakehouse.providers import paths
from lakehouse.providers.base import Kind, Resolution
from lakehouse.providers.paths import File
from topology.errors import MissingError

Tick = Literal["trade", "quote"]
SECURITIES = {"equity": "trade", "crypto": "trade", "forex": "quote", "cfd": "quote"}
"""What is read, with the kind of data in a file whose name does not say it."""
FOLDERS: dict[Resolution, str] = {"1m": "minute", "1h": "hour", "1d": "daily"}
TICKS: dict[Kind, Tick] = {"bars": "trade", "quotes": "quote"}
_PRICES = ("open", "high", "low", "close")
_SIDES = ("bid", "ask")
TRADE = ("time", *_PRICES, "volume")
QUOTE = ("time", *(f"{side}_{name}" for side in _SIDES for name in (*_PRICES, "size")))
COLUMNS: dict[Tick, tuple[str, ...]] = {"trade": TRADE, "quote": QUOTE}
"""The columns of the files, which have no header line."""
MAPS, FACTORS = "map_files", "factor_files"
HOURS = ("market-hours", "market-hours-database.json")
PROPERTIES = ("symbol-properties", "symbol-properties-database.csv")
_DAY = re.compile(r"(\d{8})_(trade|quote)")
_WHOLE = re.compile(r"(.+?)(?:_(trade|quote))?")
_MARKET = re.compile(r"[a-z][a-z0-9]*")


@dataclass(frozen=True, slots=True)
class Entry:
    """A zip of bars: ``day`` is YYYYMMDD for one of minutes and None for one of all days."""

    file: File
    security: str
    market: str
    ticker: str
    day: str | None

    @property
    def name(self) -> str:
        """Return the path below the data folder."""
        return "/".join(self.file.place.parts[-6 if self.day else -5 :][1:])


def root_of(path: str, allowed: Sequence[Path]) -> tuple[Path, str]:
    """Return the Lean data folder that ``path`` is or lies in, and the path inside it.

    What looks like no such folder raises ``not_found``.
    """
    place = paths.resolved(path, allowed)
    if any((place / security).is_dir() for security in SECURITIES):
        return place, ""
    for depth, part in enumerate(reversed(place.parts)):
        if part in SECURITIES and place.is_dir():
            root = place.parents[depth]
            return root, place.relative_to(root).as_posix()
    raise MissingError(
        f"{place.name[:128]!r} is no Lean data folder.",
        hint=f"Name the folder that holds {', '.join(SECURITIES)}, or a folder inside it.",
    )


def entries(
    root: Path, inside: str, allowed: Sequence[Path], *, resolution: Resolution, tick: Tick
) -> list[Entry]:
    """Return the zips of one resolution and kind of data, sorted by path."""
    found: list[Entry] = []
    for security in SECURITIES:
        deeper = "*/" if resolution == "1m" else ""
        pattern = f"{security}/*/{FOLDERS[resolution]}/{deeper}*.zip"
        try:
            files = paths.below(root, pattern, allowed)
        except MissingError:
            continue
        named = ((file, file.place.relative_to(root).as_posix()) for file in files)
        within = f"{inside}/" if inside else ""
        chosen = [file for file, name in named if name.startswith(within)]
        parsed = (_entry(file, root, daily=resolution != "1m") for file in chosen)
        found += [entry for entry, kind in filter(None, parsed) if kind == tick]
    return found


def explaining(
    root: Path, markets: Iterable[tuple[str, str]], allowed: Sequence[Path]
) -> list[File]:
    """Return the databases of the folder and the map and factor files of some markets."""
    folders = [HOURS[0], PROPERTIES[0]]
    folders += ["/".join((*market, kind)) for market in markets for kind in (MAPS, FACTORS)]
    found: list[File] = []
    for folder in folders:
        if (root / folder).is_dir():
            try:
                found += paths.below(root, f"{folder}/*", allowed)
            except MissingError:
                continue
    return found


def _entry(file: File, root: Path, *, daily: bool) -> tuple[Entry, str] | None:
    parts = file.place.relative_to(root).with_suffix("").parts
    security, market = parts[0], parts[1]
    if not _MARKET.fullmatch(market):
        return None
    match = (_WHOLE if daily else _DAY).fullmatch(parts[-1])
    if match is None:
        return None
    kind = match[2] or SECURITIES[security]
    ticker, day = (match[1], None) if daily else (parts[3], match[1])
    return Entry(file, security, market, ticker.upper(), day), kind
