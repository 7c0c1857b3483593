"""Writes a Lean data folder: the layout and the units of QuantConnect's Lean, any numbers."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

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


def bars(
    root: Path, table: pa.Table, security: str, market: str, resolution: str, kind: str
) -> None:
    """Write a long table of bars into the folder, in the way of its kind."""
    tick, base = ("trade" if kind == "bars" else "quote"), root / security / market
    scale = DECI_CENTS if security == "equity" else 1
    starts = table.column("time")
    clock = pc.strftime(starts, "%Y%m%d %H:%M")
    if resolution == "1m":
        midnight = pc.floor_temporal(starts, unit="day")
        clock = pc.milliseconds_between(midnight, starts).cast(pa.string())
    lines = pa.table(
        [clock, *(_scaled(table, name, scale) for name in table.schema.names[2:])],
        names=table.schema.names[1:],
    )
    keys = (
        pc.binary_join_element_wise(
            pc.utf8_lower(table.column("symbol")), pc.strftime(starts, "%Y%m%d"), "/"
        )
        if resolution == "1m"
        else pc.utf8_lower(table.column("symbol"))
    )
    for key in pc.unique(keys).to_pylist():
        suffix = f"_{tick}" if resolution == "1m" or security == "crypto" else ""
        place = base / folder_of(resolution) / f"{key}{suffix}.zip"
        sink = io.BytesIO()
        options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
        pyarrow.csv.write_csv(lines.filter(pc.equal(keys, key)), sink, options)
        pack(place, sink.getvalue().decode())


def _scaled(table: pa.Table, name: str, scale: int) -> pa.ChunkedArray:
    """Return a column as Lean writes it: whole deci-cents for prices of equities."""
    values = table.column(name)
    if scale == 1 or name == "volume" or name.endswith("_size"):
        return values
    return pc.round(pc.multiply(values, float(scale))).cast(pa.int64())


def folder_of(resolution: str) -> str:
    return {"1m": "minute", "1h": "hour", "1d": "daily"}[resolution]


def texts(place: Path) -> dict[str, list[str]]:
    """Return a long table of small files as its files: name, and lines."""
    lines: dict[str, list[str]] = defaultdict(list)
    for line in place.read_text().splitlines()[1:]:
        name, _, rest = line.partition(",")
        lines[name].append(rest)
    return lines


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
