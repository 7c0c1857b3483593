"""Feature runs from their spec to gold tables, with the real ledger and lake."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lakehouse import catalog
from lakehouse.scan import Where
from ledger import runs
from runtimes import dispatch
from runtimes.base import perform
from runtimes.context import Workshop
from runtimes.data.runtime import DataRuntime
from runtimes.specs.base import parse
from tests.kit.market import put, walks
from topology.principal import Principal

ANNA = Principal(subject="anna", client_id="tests")
NAMES = ["AAA.TEST", "BBB.TEST", "CCC.TEST"]


def table(name: str) -> str:
    return f"alphaswarm_silver_{name}.bars_1d"


def spec(name: str, **more: Any) -> dict[str, Any]:
    """Return a spec over the bars of `walks` from 2001-02-01 on, which begin on 2001-01-01."""
    data = {"table": table(name), "start": "2001-02-01", "end": "2002-12-31", "adjust": "none"}
    body = {"kind": "data", "task": "features", "name": f"f-{name}"}
    return body | {"universe": {"symbols": NAMES}} | more | {"data": data | more.pop("data", {})}


def compute(workshop: Workshop, body: dict[str, Any]) -> runs.Run:
    """Submit a spec, perform it in this thread, and return the run's row."""
    handle = dispatch.submit(
        workshop.pool,
        parse("data", body),
        principal=ANNA,
        queue="batch",
        clock=workshop.clock,
        dispatch_key=None,
    )
    perform(workshop, "data", handle.run_id, DataRuntime)
    return runs.get(workshop.pool, handle.run_id)


def kept(workshop: Workshop, run: runs.Run, role: str = "features", **where: Any) -> pa.Table:
    """Return what a run's table holds, corrections laid over."""
    assert run.status == "succeeded", run.error
    assert run.result_tables is not None
    name = run.result_tables[role]
    from lakehouse.source import open_source

    rows = open_source(workshop.lake, name, where=Where(**where))
    return rows.rows("SELECT * FROM source ORDER BY vt_symbol, timestamp")


def values(rows: pa.Table, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    found: np.ndarray[Any, np.dtype[np.float64]] = rows.column(name).to_numpy(zero_copy_only=False)
    return found.astype(np.float64)


def statistics(run: runs.Run) -> dict[str, Any]:
    assert run.status == "succeeded", run.error
    return dict(run.statistics or {})


def test_a_set_becomes_a_gold_table_with_its_hash(workshop: Workshop) -> None:
    bars = walks(NAMES, bars=100)
    put(workshop, table("whole"), bars)
    body = spec("whole", expressions={"MA3": "Mean($close, 3)/$close"})

    run = compute(workshop, body)
    rows = kept(workshop, run)

    assert rows.column_names == ["vt_symbol", "timestamp", "MA3", "run_id"]
    assert rows.num_rows == 3 * 69
    assert min(rows["timestamp"].to_pylist()) == dt.datetime(2001, 2, 1, 21, tzinfo=dt.UTC)
    close = bars.filter(pc.equal(bars["vt_symbol"], "BBB.TEST"))["close"].to_numpy()
    close = close.astype(np.float32).astype(np.float64)
    mean = (close[29:98] + close[30:99] + close[31:100]) / 3
    ours = values(rows.filter(pc.equal(rows["vt_symbol"], "BBB.TEST")), "MA3")
    assert ours == pytest.approx(mean / close[31:], rel=1e-6)
    assert run.result_tables is not None
    snapshot = catalog.load(workshop.lake, run.result_tables["features"]).current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert snapshot.summary["alphaswarm.feature_set"] == statistics(run)["feature_set"]
    assert set(run.result_tables["features"]) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.")


def test_new_bars_add_rows_that_equal_a_whole_computation(workshop: Workshop) -> None:
    """Two runs of one spec, bars in between, beside one run over all bars: bit for bit."""
    bars = walks(NAMES, bars=160)
    early = pc.less(bars["timestamp"], pa.scalar(dt.datetime(2001, 5, 1, tzinfo=dt.UTC)))
    put(workshop, table("grown"), bars.filter(early))
    put(workshop, table("atonce"), bars)
    more = {"set": "alpha158", "semantics": "qlib-0.9.7"}

    first = compute(workshop, spec("grown", **more))
    put(workshop, table("grown"), bars.filter(pc.invert(early)))
    second = compute(workshop, spec("grown", **more))
    whole = compute(workshop, spec("atonce", **more))

    assert statistics(first)["new"] + statistics(second)["new"] == statistics(whole)["new"]
    assert statistics(second)["rows"] == statistics(second)["new"]
    for role in ("features", "labels"):
        grown, atonce = kept(workshop, second, role), kept(workshop, whole, role)
        assert grown.drop_columns(["run_id"]).equals(atonce.drop_columns(["run_id"])), role
    again = compute(workshop, spec("grown", **more))
    assert statistics(again)["new"] == statistics(again)["rows"] == 0
