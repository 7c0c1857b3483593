"""What a backtest reads: all symbols of its universe, with or without bars, at pins."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lakehouse import catalog, schemas
from lakehouse.layers import TableName
from ledger import runs
from runtimes.backtest import bars
from runtimes.backtest.runtime import BacktestRuntime
from runtimes.base import perform
from runtimes.context import Workshop
from runtimes.dispatch import submit
from runtimes.specs.backtest import BacktestSpec
from tests.kit.market import put, walks
from topology.principal import Principal

TABLE = "alphaswarm_silver_gaps.bars_1d"
EARLY = "AAA.TEST"
"""Has bars in January 2001 only; the others have them until July."""


@pytest.fixture(scope="module", autouse=True)
def market(workshop: Workshop) -> None:
    """Put 200 days of two symbols and 30 days of `EARLY` into the lake."""
    whole = walks([EARLY, "BBB.TEST", "CCC.TEST"], bars=200)
    end = pa.scalar(dt.datetime(2001, 1, 31, tzinfo=dt.UTC), pa.timestamp("us", tz="UTC"))
    late = pc.and_(pc.equal(whole["vt_symbol"], EARLY), pc.greater(whole["timestamp"], end))
    put(workshop, TABLE, whole.filter(pc.invert(late)))


def spec(symbols: list[str], **more: object) -> BacktestSpec:
    """Return an equal-weight spec over April to June 2001."""
    return BacktestSpec.model_validate(
        {
            "name": "gaps",
            "universe": {"symbols": symbols},
            "data": {"table": TABLE, "start": "2001-04-01", "end": "2001-06-30", "adjust": "none"},
            "strategy": {"name": "equal_weight"},
            **more,
        }
    )


def test_a_symbol_without_bars_keeps_its_column(workshop: Workshop) -> None:
    wanted = spec([EARLY, "CCC.TEST"])

    window = bars.window(workshop.lake, wanted, snapshot_ids=bars.pins(workshop.lake, wanted))

    assert window.symbols == (EARLY, "CCC.TEST")
    assert np.isnan(window.market.close[:, 0]).all()
    assert np.isnan(window.market.volume[:, 0]).all()
    assert not np.isnan(window.market.close[:, 1]).any()


def test_the_result_names_a_symbol_that_had_no_bars(workshop: Workshop) -> None:
    handle = submit(
        workshop.pool,
        spec([EARLY, "CCC.TEST"]),
        principal=Principal(subject="anna", client_id="tests"),
        queue="interactive",
        clock=workshop.clock,
    )

    perform(workshop, "backtest", handle.run_id, BacktestRuntime)

    run = runs.get(workshop.pool, handle.run_id)
    assert run.status == "succeeded", run.error
    assert run.statistics is not None
    named = {warning["code"]: warning for warning in run.statistics["warnings"]}
    assert named["no_bars"]["symbols"] == [EARLY]


def test_a_benchmark_without_bars_compares_with_nothing(workshop: Workshop) -> None:
    wanted = spec(["CCC.TEST"], benchmark=EARLY)

    window = bars.window(workshop.lake, wanted, snapshot_ids=bars.pins(workshop.lake, wanted))

    assert window.symbols == ("CCC.TEST",)
    assert window.benchmark is not None
    assert window.benchmark.shape == window.market.timestamps.shape
    assert np.isnan(window.benchmark).all()


def test_a_companion_that_its_writer_left_empty_is_not_pinned(workshop: Workshop) -> None:
    """Killed between making a table and the first commit, a worker leaves one without rows."""
    pinned = bars.pins(workshop.lake, spec(["CCC.TEST"]))
    catalog.create(workshop.lake, TableName.parse(f"{TABLE}_revisions"), schemas.REVISIONS)

    assert bars.pins(workshop.lake, spec(["CCC.TEST"])) == pinned
    assert set(pinned) == {TABLE}
