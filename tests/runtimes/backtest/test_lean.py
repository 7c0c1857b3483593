"""From a Lean data folder to Lean's own figures: ingest, submit, and read the run."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lakehouse import query
from lakehouse.scan import Where
from ledger import runs
from runtimes import dispatch
from runtimes.backtest import sources
from runtimes.backtest.runtime import BacktestRuntime
from runtimes.base import perform
from runtimes.context import Workshop
from runtimes.data.runtime import DataRuntime
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.base import parse
from tests.kit import lean, leanfolder
from tools import intake
from topology.errors import AlphaSwarmError
from topology.principal import Principal

pytestmark = pytest.mark.shared

ANNA = Principal(subject="anna", client_id="tests")
DOMAIN = "alphaswarm_silver_leancases"
FILES = {
    "bars_1d": ("equity_daily", "1d", "bars"),
    "bars_1h": ("equity_hour", "1h", "bars"),
    "bars_1m": ("equity_minute_trade", "1m", "bars"),
    "quotes_1m": ("equity_minute_quote", "1m", "quotes"),
}
SPY, GOOG = "SPY.ARCA", "GOOG.NASDAQ"


@pytest.fixture(scope="module", autouse=True)
def folder(workshop: Workshop, shared_data: Path) -> None:
    """Ingest a Lean data folder of two stocks, their factors and names."""
    root = workshop.home.inbox / "leancases"
    for name, bar, kind in FILES.values():
        leanfolder.bars(root, kept(shared_data / f"{name}.parquet"), "equity", "usa", bar, kind)
    leanfolder.maps(root, "usa", leanfolder.texts(shared_data / "equity_map_files.csv"))
    leanfolder.factors(root, "usa", leanfolder.texts(shared_data / "equity_factor_files.csv"))
    (root / "market-hours").mkdir()
    entries = {"entries": json.loads((shared_data / "market_hours.json").read_text())}
    (root / "market-hours" / "market-hours-database.json").write_text(json.dumps(entries))
    (root / "symbol-properties").mkdir()
    shutil.copy(
        shared_data / "symbol_properties.csv",
        root / "symbol-properties" / "symbol-properties-database.csv",
    )
    for table in FILES:
        run = done(
            workshop,
            {
                "kind": "data",
                "name": "lean",
                "provider": "lean",
                "path": root.name,
                "table": f"{DOMAIN}.{table}",
            },
        )
        assert run.status == "succeeded", run.error


def kept(file: Path) -> pa.Table:
    """Return the rows of two stocks around the cases: of minutes five days, else sixteen months."""
    first, last = dt.datetime(2013, 9, 1), dt.datetime(2015, 1, 1)  # noqa: DTZ001  local
    symbols = ["SPY", "GOOG"]
    if "minute" in file.name:
        first, last = dt.datetime(2013, 10, 7), dt.datetime(2013, 10, 12)  # noqa: DTZ001
        symbols = ["SPY"]
    table = pq.read_table(file, filters=[("symbol", "in", symbols)])
    times = table.column("time")
    return table.filter(
        pc.and_(pc.greater_equal(times, pa.scalar(first)), pc.less(times, pa.scalar(last)))
    )


def done(workshop: Workshop, body: dict[str, Any]) -> runs.Run:
    spec = parse(None, body)
    inputs = {}
    if spec.kind == "data":
        inputs = {intake.PAYLOAD: intake.digest(spec.body(), [workshop.home.inbox])}
    handle = dispatch.submit(
        workshop.pool,
        spec,
        principal=ANNA,
        queue="batch",
        clock=workshop.clock,
        inputs=inputs,
    )
    runtime = DataRuntime if spec.kind == "data" else BacktestRuntime
    perform(workshop, spec.kind, handle.run_id, runtime)
    return runs.get(workshop.pool, handle.run_id)


def body(
    folder: Path, name: str, symbol: str, table: str, *, strategy: str = "buy_and_hold"
) -> dict[str, Any]:
    told = lean.cases(folder)[name]
    return {
        "kind": "backtest",
        "name": "lean-case",
        "universe": {"symbols": [symbol]},
        "data": {"table": f"{DOMAIN}.{table}", "start": told["start"], "end": told["end"]},
        "strategy": {"name": strategy},
        "execution": {"rules": "lean_2026", "lean": {"risk_free": lean.steps_of(folder)}},
        "benchmark": SPY,
        "audit": {"cuts": 0, "noise": 0},
    }


@pytest.mark.parametrize(
    ("name", "symbol", "table"),
    [
        pytest.param("BasicTemplateDaily", SPY, "bars_1d", id="days"),
        pytest.param("ProcessSplitSymbols", GOOG, "bars_1d", id="a stock that was renamed"),
        pytest.param("BasicTemplate", SPY, "bars_1m", id="minutes with quotes"),
    ],
)
def test_a_run_from_the_lake_prints_what_lean_prints(
    workshop: Workshop, shared_data: Path, name: str, symbol: str, table: str
) -> None:
    run = done(workshop, body(shared_data, name, symbol, table))

    assert run.status == "succeeded", run.error
    assert run.statistics is not None
    assert run.result_tables is not None
    expected = lean.expected(shared_data, name)
    told = lean.cases(shared_data)[name]["expected"]
    shares = {key for key, text in told.items() if text.endswith("%")}
    found = {
        key: value * 100 if key in shares else value
        for key, value in run.statistics["lean"].items()
    }
    assert found == pytest.approx(expected, abs=1e-9)
    stored = query.read(
        workshop.lake, run.result_tables["statistics"], where=Where(run_id=run.run_id)
    ).to_pylist()
    assert {row["name"] for row in stored if row["profile"] == "lean"} == set(expected)


def test_the_pins_name_every_table_that_shaped_the_result(
    workshop: Workshop, shared_data: Path
) -> None:
    spec = parse(None, body(shared_data, "BasicTemplate", SPY, "bars_1m"))
    pins = sources.checked_pins(workshop.lake, cast("BacktestSpec", spec))

    tables = {"bars_1m", "bars_1h", "quotes_1m", "adjustments"}
    assert {f"{DOMAIN}.{table}" for table in tables} <= set(pins)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        pytest.param({"benchmark": "SPI.ARCA"}, "benchmark", id="a benchmark without hours"),
        pytest.param(
            {"universe": {"symbols": [SPY, "BTCUSD.COINBASE"]}},
            "universe.symbols[1]",
            id="markets that close and that do not",
        ),
    ],
)
def test_what_lean_could_not_read_is_refused_before_anything_is_written(
    workshop: Workshop, shared_data: Path, changes: dict[str, Any], path: str
) -> None:
    spec = parse(None, body(shared_data, "BasicTemplateDaily", SPY, "bars_1d") | changes)

    with pytest.raises(AlphaSwarmError) as caught:
        sources.check(workshop.lake, cast("BacktestSpec", spec))

    assert caught.value.wire_code in ("invalid_spec", "unknown_name")
    assert [line["path"] for line in caught.value.facts["errors"]] == [path]
