"""The way of data into the lake: provider, bronze, silver."""

from __future__ import annotations

from lakehouse import query
from lakehouse.ingest import ingest
from tests.kit.lake import BARS, NOW, SPEC, Depot, Silent

SAMPLE = {"provider": "sample", "table": BARS}


def test_the_sample_becomes_bars_and_adjustments(depot: Depot) -> None:
    result = ingest(
        depot.writer,
        depot.log,
        SAMPLE,
        run_id="r" * 26,
        spec_sha256=SPEC,
        created_at=NOW,
        progress=Silent(),
        allowed=[],
    )
    print(result)
    print(query.coverage(depot.reader, BARS))
    assert 0
