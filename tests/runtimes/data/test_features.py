"""Feature runs from their spec to gold tables, with the real ledger and lake."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lakehouse import catalog, query
from lakehouse.features.operators import FIELDS
from lakehouse.scan import Where
from lakehouse.source import open_source
from lakehouse.write import append_arrow
from ledger import runs
from runtimes import dispatch
from runtimes.base import perform
from runtimes.context import Workshop
from runtimes.data.runtime import DataRuntime
from runtimes.specs.base import parse
from runtimes.specs.features import FeaturesSpec
from tests.kit.market import START, put, walks
from tests.kit.work import frames_of, with_lease
from topology.errors import StoreUnreachableError
from topology.ids import new_id
from topology.latch import Latch
from topology.principal import Principal

ANNA = Principal(subject="anna", client_id="tests")
NAMES = ["AAA.TEST", "BBB.TEST", "CCC.TEST"]


def table(name: str) -> str:
    return f"alphaswarm_silver_{name}.bars_1d"


def spec(lake: str, /, **more: Any) -> dict[str, Any]:
    """Return a spec over the bars of `walks` from 2001-02-01 on, which begin on 2001-01-01."""
    data = {"table": table(lake), "start": "2001-02-01", "end": "2002-12-31", "adjust": "none"}
    body = {"kind": "data", "task": "features", "name": f"f-{lake}"}
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
    include = ["KMID", "ROC60", "STD20", "RSQR30", "QTLU10", "RANK5", "IMXD60", "CORD30", "WVMA60"]
    more = {"set": "alpha158", "include": include}

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


def test_corrected_bars_correct_the_values_that_they_shaped(workshop: Workshop) -> None:
    bars = walks(NAMES, bars=100)
    put(workshop, table("fixed"), bars)
    body = spec("fixed", expressions={"MA3": "Mean($close, 3)", "UP": "$close > $open"})
    before = kept(workshop, compute(workshop, body))
    row = bars.filter(
        pc.and_(
            pc.equal(bars["vt_symbol"], "BBB.TEST"),
            pc.equal(bars["timestamp"], pa.scalar(dt.datetime(2001, 3, 1, 21, tzinfo=dt.UTC))),
        )
    )
    close = pa.array([row["close"][0].as_py() * 1.0001])
    known = pa.array([dt.datetime(2001, 3, 2, tzinfo=dt.UTC)], pa.timestamp("us", tz="UTC"))
    corrected = row.set_column(row.schema.get_field_index("close"), "close", close)
    put(workshop, f"{table('fixed')}_revisions", corrected.append_column("known_at", known))

    run = compute(workshop, body)
    after = kept(workshop, run)

    assert (statistics(run)["new"], statistics(run)["corrected"]) == (0, 3)
    changed = np.flatnonzero(values(before, "MA3") != values(after, "MA3"))
    assert after.take(pa.array(changed))["vt_symbol"].to_pylist() == ["BBB.TEST"] * 3
    assert after.take(pa.array(changed))["timestamp"].to_pylist()[0].day == 1
    first = query.read(workshop.lake, (run.result_tables or {})["features"])
    assert values(first, "MA3") == pytest.approx(values(before, "MA3"))
    assert statistics(compute(workshop, body))["corrected"] == 0


def test_bars_that_came_late_are_computed_and_correct_what_follows(workshop: Workshop) -> None:
    bars = walks(["AAA.TEST"], bars=100)
    late = pc.equal(bars["timestamp"], pa.scalar(dt.datetime(2001, 3, 1, 21, tzinfo=dt.UTC)))
    put(workshop, table("late"), bars.filter(pc.invert(late)))
    only = {"universe": {"symbols": ["AAA.TEST"]}, "expressions": {"R": "Ref($close, 1)"}}
    compute(workshop, spec("late", **only))
    put(workshop, table("late"), bars.filter(late))

    run = compute(workshop, spec("late", **only))
    put(workshop, table("early"), bars)
    whole = compute(workshop, spec("early", **only))

    assert (statistics(run)["new"], statistics(run)["corrected"]) == (1, 1)
    left, right = kept(workshop, run), kept(workshop, whole)
    assert left.drop_columns(["run_id"]).equals(right.drop_columns(["run_id"]))


def test_a_label_waits_for_the_bars_that_it_looks_at(workshop: Workshop) -> None:
    bars = walks(["AAA.TEST"], bars=60)
    put(workshop, table("labels"), bars)
    body = spec(
        "labels",
        universe={"symbols": ["AAA.TEST"]},
        expressions={"C": "$close"},
        labels={"NEXT": "Ref($close, -2)/Ref($close, -1) - 1"},
    )

    run = compute(workshop, body)
    features, labels = kept(workshop, run), kept(workshop, run, "labels")

    assert (features.num_rows, labels.num_rows) == (29, 27)
    spans = {
        known - moment
        for known, moment in zip(
            labels["known_at"].to_pylist(), labels["timestamp"].to_pylist(), strict=True
        )
    }
    assert spans == {dt.timedelta(days=2)}
    close = values(features, "C")
    assert values(labels, "NEXT") == pytest.approx(close[2:] / close[1:-1] - 1, abs=1e-6)


def test_a_label_reads_beyond_the_last_day_asked_for(workshop: Workshop) -> None:
    put(workshop, table("beyond"), walks(["AAA.TEST"], bars=60))
    body = spec(
        "beyond",
        universe={"symbols": ["AAA.TEST"]},
        data={"end": "2001-02-10"},
        labels={"NEXT": "Ref($close, -5)"},
    )
    rows = kept(workshop, compute(workshop, body), "labels")
    assert rows.num_rows == 10
    assert rows["NEXT"].null_count == 0


def test_a_named_universe_counts_its_members_on_their_days(workshop: Workshop) -> None:
    """BBB leaves after 15 February: from then on it has no rows and does not rank the others."""
    put(workshop, table("pit"), walks(NAMES, bars=60))
    names = [("AAA.TEST", None), ("BBB.TEST", dt.date(2001, 2, 15)), ("CCC.TEST", None)]
    run_id, days = new_id(START), pa.array([dt.date(2001, 1, 1)] * 3)
    append_arrow(
        "silver",
        "alphaswarm_silver_pit.universes",
        pa.table(
            {
                "universe": ["three"] * 3,
                "vt_symbol": [name for name, _ in names],
                "date_from": days,
                "date_to": pa.array([until for _, until in names], pa.date32()),
                "known_at": pa.array([START] * 3, pa.timestamp("us", tz="UTC")),
                "source": ["test"] * 3,
                "run_id": [run_id] * 3,
            }
        ),
        key=f"{run_id}:universes",
        run_id=run_id,
        spec_sha256="0" * 64,
        log=workshop.log,
        lake=workshop.lake,
    )
    run = compute(
        workshop,
        spec("pit", universe={"name": "three"}, expressions={"RANK": "CSRank($close)"}),
    )
    rows = kept(workshop, run)

    assert statistics(run)["survivorship"] is False
    owners = rows["vt_symbol"].to_pylist()
    assert [owners.count(name) for name in NAMES] == [29, 15, 29]
    late = rows.filter(
        pc.greater(rows["timestamp"], pa.scalar(dt.datetime(2001, 2, 16, tzinfo=dt.UTC)))
    )
    assert set(values(late, "RANK")) == {0.5, 1.0}


def test_union_rows_are_nobodys_bars_but_everybodys_windows(workshop: Workshop) -> None:
    """BBB has every second day only: of the last two instants, one is its own."""
    bars = walks(["AAA.TEST", "BBB.TEST"], bars=60)
    day = pc.day(bars["timestamp"])
    odd = pc.equal(pc.bit_wise_and(day, pa.scalar(1, pa.int64())), 1)
    put(workshop, table("union"), bars.filter(pc.or_(pc.equal(bars["vt_symbol"], "AAA.TEST"), odd)))
    found = {}
    for rows in ("bars", "union"):
        run = compute(
            workshop,
            spec(
                "union",
                name=f"rows-{rows}",
                rows=rows,
                universe={"symbols": ["AAA.TEST", "BBB.TEST"]},
                expressions={"N": "Count($close, 2)"},
            ),
        )
        all_rows = kept(workshop, run)
        found[rows] = all_rows.filter(pc.equal(all_rows["vt_symbol"], "BBB.TEST"))
    assert found["bars"].num_rows == found["union"].num_rows == 15
    assert set(values(found["bars"], "N")) == {2.0}
    assert set(values(found["union"], "N")[1:]) == {1.0}


def test_groups_of_the_spec_are_fields(workshop: Workshop) -> None:
    put(workshop, table("groups"), walks(NAMES, bars=40))
    run = compute(
        workshop,
        spec(
            "groups",
            expressions={"N": "CSNeutralize($close, $sector)"},
            groups={"sector": {"AAA.TEST": "x", "BBB.TEST": "x", "CCC.TEST": "y"}},
        ),
    )
    rows = kept(workshop, run)
    alone = rows.filter(pc.equal(rows["vt_symbol"], "CCC.TEST"))
    assert set(values(alone, "N")) == {0.0}
    pair = [values(rows.filter(pc.equal(rows["vt_symbol"], name)), "N") for name in NAMES[:2]]
    assert pair[0] == pytest.approx(-pair[1], abs=1e-4)


def test_a_read_as_of_a_time_knows_no_later_bar(workshop: Workshop) -> None:
    put(workshop, table("asof"), walks(NAMES, bars=60))
    snapshot = query.current_snapshot(workshop.lake, table("asof"))
    put(workshop, table("asof"), walks(["DDD.TEST"], bars=60))
    body = spec("asof", universe={"symbols": [*NAMES]}, expressions={"C": "CSRank($close)"})

    run = compute(workshop, {**body, "as_of": snapshot})

    assert run.snapshot_ids is not None
    assert run.snapshot_ids[table("asof")] == snapshot
    assert statistics(run)["rows"] == 3 * 29


def test_a_symbol_that_the_table_never_heard_of_is_named(workshop: Workshop) -> None:
    put(workshop, table("unknown"), walks(NAMES, bars=40))
    body = spec("unknown", universe={"symbols": ["AAB.TEST"]}, expressions={"C": "$close"})
    run = compute(workshop, body)
    assert run.status == "failed"
    assert run.error is not None
    assert run.error["code"] == "unknown_name"
    assert "AAA.TEST" in run.error["facts"]["nearest"]


def test_a_second_attempt_of_a_run_adds_nothing_twice(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker dies after the first of three batches; the next attempt ends the same table."""
    from lakehouse.features import gold

    monkeypatch.setattr(gold, "CELLS", 100)
    put(workshop, table("resumed"), walks(NAMES, bars=100))
    body = spec("resumed", expressions={"MA3": "Mean($close, 3)"})
    handle = dispatch.submit(
        workshop.pool, parse("data", body), principal=ANNA, queue="batch", clock=workshop.clock
    )
    appended: list[int] = []
    whole = gold._State.append

    def dying(self: Any, rows: pa.Table, number: int) -> Any:
        if len(appended) == 1 and number == 1:
            appended.append(-1)
            raise StoreUnreachableError("Gone.", store="postgres")
        appended.append(number)
        return whole(self, rows, number)

    monkeypatch.setattr(gold._State, "append", dying)
    short = with_lease(workshop, 0.2)
    perform(short, "data", handle.run_id, DataRuntime)
    assert runs.get(workshop.pool, handle.run_id).status == "running"
    ended = again(workshop, handle.run_id)

    assert appended == [0, -1, 0, 1, 2]
    assert kept(workshop, ended).num_rows == statistics(ended)["new"] == 3 * 69


def again(workshop: Workshop, run_id: str) -> runs.Run:
    """Perform a run anew once its lease is over."""
    for _ in range(100):
        perform(workshop, "data", run_id, DataRuntime)
        if (run := runs.get(workshop.pool, run_id)).status != "running":
            return run
        time.sleep(0.1)
    raise AssertionError("the run was never claimed again")


def test_a_halt_of_the_kind_stops_features_before_they_are_written(workshop: Workshop) -> None:
    put(workshop, table("halted"), walks(NAMES, bars=40))
    with Latch.open(workshop.home.latch) as latch:
        epoch = latch.press("kind:data")
        try:
            run = compute(workshop, spec("halted", expressions={"C": "$close"}))
        finally:
            latch.lift("kind:data", epoch=epoch)
    assert run.status == "halted"
    assert not [name for name in query.tables(workshop.lake) if ".f_halted" in name]


def test_progress_counts_symbols_and_ends_with_the_table(workshop: Workshop) -> None:
    put(workshop, table("framed"), walks(NAMES, bars=40))
    run = compute(workshop, spec("framed", expressions={"C": "$close"}))
    frames = frames_of(workshop.pool, run.task_id)
    assert [frame.stage for frame in frames] == ["start", "rows.processed", "layer.done", "done"]
    assert (frames[1].extras["current"], frames[1].extras["total"]) == (3, 3)
    assert frames[2].extras["rows"] == 3 * 9
    assert frames[2].extras["snapshot_id"].isdecimal()


@pytest.mark.parametrize("rows", ["bars", "union"])
def test_a_period_without_bars_is_refused_and_leaves_no_table(
    workshop: Workshop, rows: str
) -> None:
    put(workshop, table(f"empty{rows}"), walks(NAMES, bars=40))
    years = {"start": "2015-01-01", "end": "2015-12-31"}
    body = spec(f"empty{rows}", data=years, rows=rows, expressions={"C": "$close"})
    run = compute(workshop, body)
    assert run.status == "failed"
    assert run.error is not None
    assert run.error["code"] == "empty_window"
    assert not [name for name in query.tables(workshop.lake) if f"f_empty{rows}" in name]


def test_labels_that_still_wait_have_no_table_yet(workshop: Workshop) -> None:
    put(workshop, table("waiting"), walks(NAMES, bars=40))
    run = compute(
        workshop,
        spec("waiting", expressions={"C": "$close"}, labels={"L": "Ref($close, -100)"}),
    )
    assert run.status == "succeeded", run.error
    assert list(run.result_tables or {}) == ["features"]


def test_alpha158_of_a_lake_is_that_of_its_arrays(workshop: Workshop) -> None:
    """The whole named set through bars, adjustment and Parquet, beside the evaluator alone."""
    bars = walks(NAMES[:2], bars=130)
    put(workshop, table("alpha"), bars)
    body = spec("alpha", set="alpha158", universe={"symbols": NAMES[:2]})
    run = compute(workshop, body)
    rows = kept(workshop, run)
    assert len(rows.column_names) == 158 + 3
    assert statistics(run)["typical_vwap"] is True
    from lakehouse.features.evaluate import evaluate
    from lakehouse.features.frame import Frame

    columns = {name: bars[name].to_numpy().astype(np.float32) for name in FIELDS[:5]}
    prices = sum(bars[name].to_numpy() for name in ("high", "low", "close")) / 3
    columns["vwap"] = prices.astype(np.float32)
    frame = Frame(("A", "B"), np.array([0, 130, 260]), np.tile(np.arange(130), 2), columns)
    spec_ = parse("data", body)
    assert isinstance(spec_, FeaturesSpec)
    whole = evaluate(spec_.features(), frame, first=np.array([31, 31])).columns
    for name in rows.column_names[2:-1]:
        assert values(rows, name) == pytest.approx(
            whole[name].astype(np.float64), nan_ok=True, rel=0, abs=0
        ), name
