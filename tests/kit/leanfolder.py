"""Writes a Lean data folder: the layout and the units of QuantConnect's Lean, any numbers."""

from __future__ import annotations

import datetime as dt
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

DECI_CENTS = 10_000
Value = float | str | None
Row = tuple[dt.datetime, Sequence[Value]]
"""The start of a bar in the zone of its market, and the values behind it."""


def pack(place: Path, text: str, member: str | None = None) -> None:
    """Write a zip with one CSV."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member or f"{place.stem}.csv", text)


def whole(place: Path, rows: Iterable[Row], *, prices: Sequence[int], scale: int = 1) -> None:
    """Write the bars of hours or days; ``prices`` are the places that are scaled."""
    lines = [_line(f"{start:%Y%m%d %H:%M}", row, prices, scale) for start, row in rows]
    pack(place, "".join(lines))


def minutes(place: Path, rows: Iterable[Row], *, prices: Sequence[int], scale: int = 1) -> None:
    """Write the minutes of one day; a time is its milliseconds on the clock of the zone."""
    lines = []
    for start, row in rows:
        clock = (start.hour * 60 + start.minute) * 60_000
        lines.append(_line(str(clock), row, prices, scale))
    pack(place, "".join(lines))


def maps(root: Path, market: str, files: Mapping[str, Sequence[str]]) -> None:
    """Write map files, one per permanent ticker: lines ``YYYYMMDD,ticker,exchange letter``."""
    _texts(root / "equity" / market / "map_files", files)


def factors(root: Path, market: str, files: Mapping[str, Sequence[str]]) -> None:
    """Write factor files: lines ``YYYYMMDD,price factor,split factor,reference price``."""
    _texts(root / "equity" / market / "factor_files", files)


def _texts(folder: Path, files: Mapping[str, Sequence[str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in files.items():
        (folder / f"{name.lower()}.csv").write_text("".join(f"{line}\n" for line in lines))


def _line(time: str, row: Sequence[Value], prices: Sequence[int], scale: int) -> str:
    values = [_text(v, scale if place in prices else 1) for place, v in enumerate(row)]
    return ",".join([time, *values]) + "\n"


def _text(value: Value, scale: int) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return str(round(value * scale)) if scale > 1 else repr(value)
