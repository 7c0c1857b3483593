"""Real bars, written back the way Lean keeps them, come out of the provider as they went in."""

from __future__ import annotations

import datetime as dt
import json
import shutil
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
        leanfolder.bars(root, pq.read_table(shared_data / name), security, market, resolution, kind)
    leanfolder.maps(root, "usa", leanfolder.texts(shared_data / "equity_map_files.csv"))
    leanfolder.factors(root, "usa", leanfolder.texts(shared_data / "equity_factor_files.csv"))
    (root / "market-hours").mkdir()
    hours = json.loads((shared_data / "market_hours.json").read_text())
    database = root / "market-hours" / "market-hours-database.json"
    database.write_text(json.dumps({"entries": hours}))
    (root / "symbol-properties").mkdir()
    properties = root / "symbol-properties" / "symbol-properties-database.csv"
    shutil.copy(shared_data / "symbol_properties.csv", properties)
    return root


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
    leanfolder.bars(inbox / "lean", table, "equity", "usa", "1m", "bars")
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
