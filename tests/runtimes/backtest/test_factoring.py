"""Factors of a backtest: closes of symbols or columns of a table, pinned, dated and refused."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lakehouse import query
from lakehouse.write import append_arrow
from runtimes.backtest import bars, factoring
from runtimes.context import Workshop
from runtimes.engine.factors import regress
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.base import parse
from tests.kit.market import START, put, walks
from topology.errors import AlphaSwarmError, InvalidSpecError, UnknownNameError
from topology.ids import new_id

TABLE = "alphaswarm_silver_factoring.bars_1d"
FACTORS = "alphaswarm_gold_features.three_factors"
COLUMNS = {"factors": {"table": FACTORS, "symbol": "US.FACTORS", "columns": ["mkt", "smb"]}}


@pytest.fixture(scope="module", autouse=True)
def lake(workshop: Workshop) -> None:
    """Put bars of two symbols and 60 days of factors into the lake, every tenth day without."""
    put(workshop, TABLE, walks(["AAA.TEST", "MKT.TEST"], bars=80))
    days = [START + dt.timedelta(days=k) for k in range(60) if k % 10]
    values = np.random.default_rng(1).normal(0, 0.01, (len(days), 2)).astype(np.float32)
    run_id = new_id(START)
    append_arrow(
        "gold",
        FACTORS,
        pa.table(
            {
                "vt_symbol": ["US.FACTORS"] * len(days),
                "timestamp": pa.array(days, pa.timestamp("us", tz="UTC")),
                "mkt": values[:, 0],
                "smb": values[:, 1],
                "run_id": [run_id] * len(days),
            }
        ),
        key=f"{run_id}:factors",
        run_id=run_id,
        spec_sha256="0" * 64,
        log=workshop.log,
        lake=workshop.lake,
    )


def spec(**changes: Any) -> BacktestSpec:
    body = {
        "kind": "backtest",
        "name": "explained",
        "universe": {"symbols": ["AAA.TEST"]},
        "data": {"table": TABLE, "start": "2001-01-11", "end": "2001-02-28", "adjust": "none"},
        "strategy": {"name": "buy_and_hold"},
    } | changes
    found = parse("backtest", body)
    assert isinstance(found, BacktestSpec)
    return found


def window(workshop: Workshop, asked: BacktestSpec) -> bars.Window:
    pins = bars.checked_pins(workshop.lake, asked)
    return bars.window(workshop.lake, asked, snapshot_ids=pins)


def test_a_spec_without_factors_keeps_its_hash_and_loads_none(workshop: Workshop) -> None:
    assert "factors" not in spec().body()
    assert window(workshop, spec()).factors is None


def test_the_closes_of_a_symbol_are_returns_from_bar_to_bar(workshop: Workshop) -> None:
    found = window(workshop, spec(factors={"symbols": ["MKT.TEST", "AAA.TEST"]}))
    assert found.factors is not None
    assert found.factors.names == ("MKT.TEST", "AAA.TEST")
    own = found.market.close[1:, 0] / found.market.close[:-1, 0] - 1.0
    assert np.isnan(found.factors.returns[0]).all()
    assert found.factors.returns[1:, 1] == pytest.approx(own)
    assert regress(own, found.factors.returns[1:, 1:]).betas == pytest.approx([1.0])


def test_a_column_counts_on_the_bars_that_it_is_dated_at(workshop: Workshop) -> None:
    asked = spec(**COLUMNS)
    found = window(workshop, asked)
    assert found.factors is not None
    rows = query.read(workshop.lake, FACTORS).to_pylist()
    told = {int(row["timestamp"].timestamp()) * 10**9: (row["mkt"], row["smb"]) for row in rows}
    for time, values in zip(found.market.timestamps.tolist(), found.factors.returns, strict=True):
        assert values == pytest.approx(told.get(time, (np.nan, np.nan)), nan_ok=True)
    assert np.isnan(found.factors.returns).any()
    assert bars.pins(workshop.lake, asked)[FACTORS] == query.current_snapshot(
        workshop.lake, FACTORS
    )


def test_an_older_snapshot_of_the_factors_is_pinned_by_its_id(workshop: Workshop) -> None:
    pin = query.current_snapshot(workshop.lake, FACTORS)
    asked = spec(factors=COLUMNS["factors"] | {"snapshot_id": pin})
    assert factoring.pins(workshop.lake, asked) == {FACTORS: pin}


@pytest.mark.parametrize(
    ("factors", "code", "path"),
    [
        pytest.param({"symbols": ["MKT.TST"]}, "unknown_name", "factors.symbols[0]", id="symbol"),
        pytest.param(
            COLUMNS["factors"] | {"columns": ["mkt", "sbm"]},
            "unknown_name",
            "factors.columns[1]",
            id="column",
        ),
        pytest.param(
            COLUMNS["factors"] | {"table": "alphaswarm_gold_features.three"},
            "table_not_found",
            None,
            id="table",
        ),
    ],
)
def test_what_the_lake_lacks_is_refused_where_it_stands(
    workshop: Workshop, factors: dict[str, Any], code: str, path: str | None
) -> None:
    with pytest.raises(AlphaSwarmError) as error:
        bars.check(workshop.lake, spec(factors=factors))
    assert error.value.code == code
    if path is not None:
        assert isinstance(error.value, UnknownNameError)
        assert error.value.facts["errors"][0]["path"] == path
        assert error.value.facts["errors"][0]["nearest"]


@pytest.mark.parametrize(
    ("factors", "path"),
    [
        pytest.param({"symbols": []}, "factors.symbols", id="none"),
        pytest.param({"symbols": ["A.TEST", "A.TEST"]}, "factors.symbols", id="twice"),
        pytest.param({"tabel": FACTORS}, "factors.table", id="misspelt"),
        pytest.param(COLUMNS["factors"] | {"columns": ["a b"]}, "factors.columns[0]", id="column"),
    ],
)
def test_factors_that_cannot_be_are_refused_by_the_spec(factors: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidSpecError) as error:
        spec(factors=factors)
    assert path in [problem["path"] for problem in error.value.facts["errors"]]
