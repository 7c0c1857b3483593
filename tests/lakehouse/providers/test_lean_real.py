"""Real bars, written back the way Lean keeps them, come out of the provider as they went in."""

from __future__ import annotations

import datetime as dt
import io
import json
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from lakehouse.ingest import ingest
from lakehouse.job import IngestResult, Run
from lakehouse.providers.base import Request
from lakehouse.providers.lean import Lean
from tests.kit import leanfolder
from tests.kit.lake import NOW, SPEC, Depot, Silent
from tests.kit.payloads import read
from topology.ids import new_id

NEW_YORK, UTC = ZoneInfo("America/New_York"), dt.UTC
TICKER = {"1m": r"/(?P<t>[^/]+)/\d+_", "1h": r"/(?P<t>[^/_]+?)(?:_\w+)?\.zip$"}
TICKER["1d"] = TICKER["1h"]
FILES = {
    "equity_daily.parquet": ("equity", "usa", "1d", "bars"),
    "equity_hour.parquet": ("equity", "usa", "1h", "bars"),
    "equity_minute_trade.parquet": ("equity", "usa", "1m", "bars"),
    "equity_minute_quote.parquet": ("equity", "usa", "1m", "quotes"),
    "crypto_coinbase_daily_trade.parquet": ("crypto", "coinbase", "1d", "bars"),
    "crypto_coinbase_daily_quote.parquet": ("crypto", "coinbase", "1d", "quotes"),
    "crypto_coinbase_minute_trade.parquet": ("crypto", "coinbase", "1m", "bars"),
    "crypto_coinbase_minute_quote.parquet": ("crypto", "coinbase", "1m", "quotes"),
    "crypto_binance_hour_trade.parquet": ("crypto", "binance", "1h", "bars"),
    "forex_oanda_daily_quote.parquet": ("forex", "oanda", "1d", "quotes"),
    "forex_oanda_minute_quote.parquet": ("forex", "oanda", "1m", "quotes"),
    "cfd_oanda_daily_quote.parquet": ("cfd", "oanda", "1d", "quotes"),
}


@pytest.fixture(scope="module")
def folder(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Lean data folder made of the development data."""
    root = tmp_path_factory.mktemp("inbox") / "lean"
    for name, (security, market, resolution, kind) in FILES.items():
        write(root, pq.read_table(shared_data / name), security, market, resolution, kind)
    leanfolder.maps(root, "usa", texts(shared_data / "equity_map_files.csv"))
    leanfolder.factors(root, "usa", texts(shared_data / "equity_factor_files.csv"))
    (root / "market-hours").mkdir()
    hours = json.loads((shared_data / "market_hours.json").read_text())
    database = root / "market-hours" / "market-hours-database.json"
    database.write_text(json.dumps({"entries": hours}))
    (root / "symbol-properties").mkdir()
    properties = root / "symbol-properties" / "symbol-properties-database.csv"
    shutil.copy(shared_data / "symbol_properties.csv", properties)
    return root


def write(
    root: Path, table: pa.Table, security: str, market: str, resolution: str, kind: str
) -> None:
    """Write a long table of bars into the folder, in the way of its kind."""
    tick, base = ("trade" if kind == "bars" else "quote"), root / security / market
    scale = leanfolder.DECI_CENTS if security == "equity" else 1
    starts = table.column("time")
    clock = pc.strftime(starts, "%Y%m%d %H:%M")
    if resolution == "1m":
        midnight = pc.floor_temporal(starts, unit="day")
        clock = pc.milliseconds_between(midnight, starts).cast(pa.string())
    lines = pa.table(
        [clock, *(scaled(table, name, scale) for name in table.schema.names[2:])],
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
        place = base / leanfolder_name(resolution) / f"{key}{suffix}.zip"
        sink = io.BytesIO()
        options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
        pyarrow.csv.write_csv(lines.filter(pc.equal(keys, key)), sink, options)
        leanfolder.pack(place, sink.getvalue().decode())


def scaled(table: pa.Table, name: str, scale: int) -> pa.ChunkedArray:
    """Return a column as Lean writes it: whole deci-cents for prices of equities."""
    values = table.column(name)
    if scale == 1 or name == "volume" or name.endswith("_size"):
        return values
    return pc.round(pc.multiply(values, float(scale))).cast(pa.int64())


def leanfolder_name(resolution: str) -> str:
    return {"1m": "minute", "1h": "hour", "1d": "daily"}[resolution]


def texts(place: Path) -> dict[str, list[str]]:
    """Return a long table of small files as its files: name, and lines."""
    lines: dict[str, list[str]] = defaultdict(list)
    for line in place.read_text().splitlines()[1:]:
        name, _, rest = line.partition(",")
        lines[name].append(rest)
    return lines


def ends(times: pa.ChunkedArray, end: Callable[[dt.datetime], dt.datetime]) -> pa.Array:
    """Return the end of each bar, worked out by Python's own calendar once per distinct start."""
    coded = times.combine_chunks().dictionary_encode()
    worked = pa.array(
        [end(start) for start in coded.dictionary.to_pylist()], pa.timestamp("us", "UTC")
    )
    return worked.take(coded.indices)


def early_closes(shared_data: Path) -> dict[dt.date, dt.time]:
    hours = json.loads((shared_data / "market_hours.json").read_text())["Equity-usa-[*]"]
    found = {}
    for text, close in hours["earlyCloses"].items():
        month, day, year = map(int, text.split("/"))
        found[dt.date(year, month, day)] = dt.time.fromisoformat(close)
    return found


@pytest.mark.parametrize("name", FILES)
def test_every_value_comes_back_exactly(name: str, folder: Path, shared_data: Path) -> None:
    """Prices to the last bit, and times of two clocks a year apart by one hour."""
    security, market, resolution, kind = FILES[name]
    early = early_closes(shared_data)

    def end(start: dt.datetime) -> dt.datetime:
        if security == "equity" and resolution == "1d":
            close = early.get(start.date(), dt.time(16))
            return dt.datetime.combine(start, close, NEW_YORK).astimezone(UTC)
        length = {"1m": dt.timedelta(minutes=1), "1h": dt.timedelta(hours=1)}
        zone = NEW_YORK if security == "equity" else UTC
        return start.replace(tzinfo=zone).astimezone(UTC) + length.get(
            resolution, dt.timedelta(days=1)
        )

    lean = Lean()
    path = f"lean/{security}/{market}"
    table = f"alphaswarm_silver_market.{kind}_{resolution}"
    payloads = list(lean.fetch(Request("lean", table, path, allowed=[folder.parent])))
    got = read(lean, payloads)
    ticker = pc.utf8_upper(
        pc.extract_regex(got.column("_source"), TICKER[resolution]).combine_chunks().field("t")
    )
    got = got.append_column("ticker", ticker).sort_by(
        [("ticker", "ascending"), ("timestamp", "ascending")]
    )
    wanted = pq.read_table(shared_data / name)
    wanted = wanted.append_column("timestamp", ends(wanted.column("time"), end))
    wanted = wanted.sort_by([("symbol", "ascending"), ("timestamp", "ascending")])
    assert got.num_rows == wanted.num_rows
    assert got.column("ticker").equals(wanted.column("symbol"))
    assert got.column("timestamp").equals(wanted.column("timestamp"))
    values = [name for name in wanted.schema.names if name not in ("symbol", "time", "timestamp")]
    for value in values:
        if value.endswith("_size"):  # the size of a side that was not quoted is not kept
            sided = pc.is_valid(wanted.column(f"{value[:3]}_open"))
            expected = pc.if_else(sided, wanted.column(value), None)
        else:
            expected = wanted.column(value)
        assert got.column(value).equals(expected), value


def test_the_same_minutes_by_two_ways_are_the_same_bars(
    shared_data: Path, depot: Depot, tmp_path: Path
) -> None:
    """Winter and summer minutes of New York, as Lean's zips and as a CSV of local clock times.

    Whoever comes second brings nothing new and corrects nothing: each time and each price agrees.
    """
    table = pq.read_table(shared_data / "equity_minute_trade.parquet")
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    write(inbox / "lean", table, "equity", "usa", "1m", "bars")
    pyarrow.csv.write_csv(table, inbox / "minutes.csv")
    minutes = "alphaswarm_silver_market.bars_1m"
    lean = {"provider": "lean", "table": minutes, "path": "lean"}
    reading = {
        "columns": {"vt_symbol": "symbol", "timestamp": "time"},
        "timezone": "America/New_York",
        "label": "start",
        "exchange": "USA",
    }
    text = {"provider": "files", "table": minutes, "path": "minutes.csv", "reading": reading}
    first, second = (bring(depot, tmp_path, inbox, spec) for spec in (lean, text))
    assert (first.new, first.rejected) == (table.num_rows, 0)
    assert (second.new, second.revised, second.known) == (0, 0, table.num_rows)


def bring(depot: Depot, tmp_path: Path, inbox: Path, spec: dict[str, Any]) -> IngestResult:
    run = Run(
        depot.writer,
        depot.log,
        run_id=new_id(NOW),
        spec_sha256=SPEC,
        created_at=NOW,
        progress=Silent(),
        spill=tmp_path,
    )
    return ingest(run, spec, allowed=[inbox])
