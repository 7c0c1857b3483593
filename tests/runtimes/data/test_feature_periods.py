"""Feature runs that ask for other periods and other symbols than the runs before them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lakehouse.features.frame import Frame
from lakehouse.features.loading import Asked, _belonging
from lakehouse.write import append_arrow
from runtimes.context import Workshop
from tests.kit.market import START, put, walks
from tests.runtimes.data.test_features import NAMES, compute, kept, spec, statistics, table
from topology.errors import FaultError
from topology.ids import new_id

MA3 = {"MA3": "Mean($close, 3)"}


def asked(lake: str, start: str, end: str = "2002-12-31", **more: Any) -> dict[str, Any]:
    return spec(lake, expressions=MA3, data={"start": start, "end": end}, **more)


def corrected(bars: pa.Table, symbol: str, day: int) -> pa.Table:
    """Return the symbol's bar of that March day with another close, as a revision."""
    moment = pa.scalar(dt.datetime(2001, 3, day, 21, tzinfo=dt.UTC))
    row = bars.filter(
        pc.and_(pc.equal(bars["vt_symbol"], symbol), pc.equal(bars["timestamp"], moment))
    )
    known = pa.array([dt.datetime(2001, 6, 2, tzinfo=dt.UTC)], pa.timestamp("us", tz="UTC"))
    close = pa.array([row["close"][0].as_py() * 1.0001])
    place = row.schema.get_field_index("close")
    return row.set_column(place, "close", close).append_column("known_at", known)


def test_an_earlier_start_fills_what_lies_before(workshop: Workshop) -> None:
    put(workshop, table("earlier"), walks(NAMES, bars=100))
    compute(workshop, asked("earlier", "2001-03-01"))

    run = compute(workshop, asked("earlier", "2001-02-01"))

    rows = kept(workshop, run)
    assert rows.num_rows == 3 * 69
    assert statistics(run)["new"] == 3 * 69


def test_a_gap_between_two_periods_is_filled(workshop: Workshop) -> None:
    put(workshop, table("gap"), walks(NAMES, bars=100))
    compute(workshop, asked("gap", "2001-02-01", "2001-02-10"))
    compute(workshop, asked("gap", "2001-04-01"))

    run = compute(workshop, asked("gap", "2001-02-01"))

    assert kept(workshop, run).num_rows == 3 * 69


def test_a_run_of_one_symbol_hides_no_correction_of_another(workshop: Workshop) -> None:
    bars = walks(NAMES, bars=100)
    early = pc.less(bars["timestamp"], pa.scalar(dt.datetime(2001, 4, 1, tzinfo=dt.UTC)))
    put(workshop, table("others"), bars.filter(early))
    put(workshop, table("others2"), bars)
    compute(workshop, asked("others", "2001-02-01"))
    for name in ("others", "others2"):
        put(workshop, table(name) + "_revisions", corrected(bars, "BBB.TEST", 1))
    put(workshop, table("others"), bars.filter(pc.invert(early)))
    compute(workshop, asked("others", "2001-02-01", universe={"symbols": ["AAA.TEST"]}))

    run = compute(workshop, asked("others", "2001-02-01"))
    whole = compute(workshop, asked("others2", "2001-02-01"))

    ours, theirs = kept(workshop, run), kept(workshop, whole)
    assert ours.drop_columns(["run_id"]).equals(theirs.drop_columns(["run_id"]))


def test_an_earlier_end_hides_no_correction_after_it(workshop: Workshop) -> None:
    """The second run ends before the correction, and writes a row that came late."""
    bars = walks(NAMES, bars=100)
    late = pc.equal(bars["timestamp"], pa.scalar(dt.datetime(2001, 2, 5, 21, tzinfo=dt.UTC)))
    put(workshop, table("ends"), bars.filter(pc.invert(late)))
    put(workshop, table("ends2"), bars)
    compute(workshop, asked("ends", "2001-02-01"))
    for name in ("ends", "ends2"):
        put(workshop, table(name) + "_revisions", corrected(bars, "BBB.TEST", 1))
    put(workshop, table("ends"), bars.filter(late))
    compute(workshop, asked("ends", "2001-02-01", "2001-02-10"))

    run = compute(workshop, asked("ends", "2001-02-01"))
    whole = compute(workshop, asked("ends2", "2001-02-01"))

    ours, theirs = kept(workshop, run), kept(workshop, whole)
    assert ours.drop_columns(["run_id"]).equals(theirs.drop_columns(["run_id"]))


def test_bars_that_lag_behind_change_the_ranks_of_the_others(workshop: Workshop) -> None:
    """CCC's last ten days come after the ranks of AAA and BBB on these days were computed."""
    bars = walks(NAMES, bars=60)
    lag = pc.and_(
        pc.equal(bars["vt_symbol"], "CCC.TEST"),
        pc.greater(bars["timestamp"], pa.scalar(dt.datetime(2001, 2, 20, tzinfo=dt.UTC))),
    )
    put(workshop, table("lags"), bars.filter(pc.invert(lag)))
    put(workshop, table("lags2"), bars)
    ranks = {"expressions": {"R": "CSRank($close)"}}
    compute(workshop, spec("lags", **ranks))
    put(workshop, table("lags"), bars.filter(lag))

    run = compute(workshop, spec("lags", **ranks))
    whole = compute(workshop, spec("lags2", **ranks))

    ours, theirs = kept(workshop, run), kept(workshop, whole)
    assert ours.drop_columns(["run_id"]).equals(theirs.drop_columns(["run_id"]))


def test_a_run_that_fails_half_way_leaves_its_corrections_to_the_next(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each symbol is a batch; the second run writes AAA's new rows and never comes to BBB."""
    from lakehouse.features import gold

    monkeypatch.setattr(gold, "CELLS", 100)
    bars = walks(NAMES, bars=100)
    early = pc.less(bars["timestamp"], pa.scalar(dt.datetime(2001, 4, 1, tzinfo=dt.UTC)))
    put(workshop, table("half"), bars.filter(early))
    put(workshop, table("half2"), bars)
    compute(workshop, asked("half", "2001-02-01"))
    for name in ("half", "half2"):
        put(workshop, table(name) + "_revisions", corrected(bars, "BBB.TEST", 1))
    put(workshop, table("half"), bars.filter(pc.invert(early)))
    whole_append = gold._State.append

    def failing(self: Any, rows: pa.Table, number: int) -> Any:
        receipt = whole_append(self, rows, number)
        raise FaultError(f"Nothing after batch {number} of {receipt.table}.")

    with monkeypatch.context() as patch:
        patch.setattr(gold._State, "append", failing)
        assert compute(workshop, asked("half", "2001-02-01")).status == "failed"

    run = compute(workshop, asked("half", "2001-02-01"))
    whole = compute(workshop, asked("half2", "2001-02-01"))

    ours, theirs = kept(workshop, run), kept(workshop, whole)
    assert ours.drop_columns(["run_id"]).equals(theirs.drop_columns(["run_id"]))


def test_as_of_a_time_has_the_values_of_that_time(workshop: Workshop) -> None:
    bars = walks(NAMES, bars=100)
    put(workshop, table("then"), bars)
    then = workshop.clock.now()
    before = kept(workshop, compute(workshop, asked("then", "2001-02-01")))
    put(workshop, table("then") + "_revisions", corrected(bars, "BBB.TEST", 1))
    after = kept(workshop, compute(workshop, asked("then", "2001-02-01")))

    run = compute(workshop, asked("then", "2001-02-01", as_of=then.isoformat()))

    assert not after["MA3"].equals(before["MA3"])
    assert kept(workshop, run)["MA3"].equals(before["MA3"])


def test_a_universe_is_read_at_the_time_of_a_snapshot_of_the_bars(workshop: Workshop) -> None:
    run_id, from_, until = new_id(START), dt.date(2001, 1, 1), dt.date(2001, 2, 15)
    rows = {
        "universe": ["one"],
        "vt_symbol": ["BBB.TEST"],
        "date_from": pa.array([from_]),
        "date_to": pa.array([until]),
        "known_at": pa.array([START], pa.timestamp("us", tz="UTC")),
        "source": ["test"],
        "run_id": [run_id],
    }
    append_arrow(
        "silver",
        "alphaswarm_silver_member.universes",
        pa.table(rows),
        key=f"{run_id}:universes",
        run_id=run_id,
        spec_sha256="0" * 64,
        log=workshop.log,
        lake=workshop.lake,
    )
    pin = put(workshop, table("member"), walks(NAMES, bars=60)).snapshot_id
    run = compute(workshop, asked("member", "2001-02-01", universe={"name": "one"}, as_of=pin))
    assert kept(workshop, run)["vt_symbol"].to_pylist() == ["BBB.TEST"] * 15


@pytest.mark.parametrize(
    ("ends", "belongs"),
    [
        ("2001-02-10T00:00", False),
        ("2001-02-10T21:00", True),
        ("2001-02-11T00:00", True),
        ("2001-02-16T00:00", True),
        ("2001-02-16T00:01", False),
    ],
)
def test_a_bar_that_ends_at_midnight_belongs_to_the_day_before(ends: str, belongs: bool) -> None:
    """A member from 10 to 15 February, both inclusive."""
    days = {"A.TEST": [(dt.date(2001, 2, 10), dt.date(2001, 2, 15))]}
    first, last = dt.date(2001, 1, 1), dt.date(2001, 12, 31)
    asked = Asked(("A.TEST",), "u", table("u"), first, last, "none", members=days)
    times = np.array([np.datetime64(ends, "ns").astype(np.int64)])
    frame = Frame(("A.TEST",), np.array([0, 1]), times, {})
    assert _belonging(frame, asked).tolist() == [belongs]
