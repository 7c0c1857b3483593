"""Quarantine loses no row: whatever comes is new, known, a revision, or rejected with a reason."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from lakehouse import query
from lakehouse.ingest import ingest
from lakehouse.job import IngestResult, Run
from tests.kit.lake import NOW, SPEC, Depot, Silent
from topology.ids import new_id

HEADER = "vt_symbol,timestamp,open,high,low,close,volume,currency"
FAULTS = {
    "a negative price": "AAA.NYSE,{day},10,11,-9,10,100,USD",
    "a price of text": "AAA.NYSE,{day},ten,11,9,10,100,USD",
    "no price": "AAA.NYSE,{day},,11,9,10,100,USD",
    "not a number": "AAA.NYSE,{day},10,11,9,nan,100,USD",
    "high below low": "AAA.NYSE,{day},10,8,9,10,100,USD",
    "no symbol": ",{day},10,11,9,10,100,USD",
    "a symbol in small letters": "aaa,{day},10,11,9,10,100,USD",
    "a day that does not exist": "AAA.NYSE,2023-02-30,10,11,9,10,100,USD",
    "a day to come": "AAA.NYSE,2999-01-04,10,11,9,10,100,USD",
    "a currency that is none": "AAA.NYSE,{day},10,11,9,10,100,dollars",
    "too many columns": "AAA.NYSE,{day},10,11,9,10,100,USD,and,more",
    "too few": "AAA.NYSE,{day}",
    "negative volume": "AAA.NYSE,{day},10,11,9,10,-1,USD",
}


def lines(draw: np.random.Generator, count: int) -> list[str]:
    """Return rows of few days, so that many are said twice; one in three is spoiled."""
    made = []
    for _ in range(count):
        day = dt.date(2023, 1, 2) + dt.timedelta(days=int(draw.integers(0, 60)))
        if draw.random() < 1 / 3:
            made.append(str(draw.choice(list(FAULTS.values()))).format(day=day))
        else:
            close = 10 + int(draw.integers(0, 3)) / 10
            made.append(f"AAA.NYSE,{day},10,11,9,{close},100,USD")
    return made


def brought(depot: Depot, inbox: Path, table: str, name: str, rows: list[str]) -> IngestResult:
    (inbox / name).write_text("\n".join([HEADER, *rows]) + "\n")
    run = Run(
        depot.writer,
        depot.log,
        run_id=new_id(NOW),
        spec_sha256=SPEC,
        created_at=NOW,
        progress=Silent(),
        spill=inbox.parent / "spill",
    )
    spec = {"provider": "files", "path": name, "table": table, "reading": {}}
    return ingest(run, spec, allowed=[inbox])


@pytest.mark.parametrize("seed", range(3))
def test_every_row_is_accounted_for(market: Depot, tmp_path: Path, seed: int) -> None:
    draw = np.random.default_rng(seed)
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    table = f"alphaswarm_silver_dirty{seed}.bars_1d"
    kept = quarantined = 0
    for number in range(3):  # later files say some of the same bars again, and some otherwise
        rows = lines(draw, 90)
        done = brought(market, inbox, table, f"{number}.csv", rows)
        assert done.read == len(rows)
        assert done.read == done.new + done.known + done.revised + done.rejected
        assert sum(done.reasons.values()) == done.rejected
        kept, quarantined = kept + done.new, quarantined + done.rejected
    assert query.read(market.reader, table).num_rows == kept
    rejects = query.read(market.reader, f"{table.partition('.')[0]}.rejects")
    assert rejects.num_rows == quarantined
    assert all(rejects.column("content").to_pylist())
    assert len(set(rejects.column("reason").to_pylist())) >= 5


def test_each_fault_alone_is_kept_with_its_line(market: Depot, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    good = "AAA.NYSE,2023-01-03,10,11,9,10,100,USD"
    rows = [good, *(line.format(day="2023-01-04") for line in FAULTS.values())]
    table = "alphaswarm_silver_faults.bars_1d"
    done = brought(market, inbox, table, "faults.csv", rows)
    assert (done.read, done.new, done.rejected) == (len(rows), 1, len(FAULTS))
    rejects = query.read(market.reader, "alphaswarm_silver_faults.rejects").to_pylist()
    assert sorted(row["row"] for row in rejects) == list(range(2, len(rows) + 1))
