"""What `append_arrow` promises: exactly once by key, and nothing that does not belong."""

from __future__ import annotations

from lakehouse import query
from tests.kit.lake import BARS, Depot, bars


def test_an_append_is_there_for_readers(depot: Depot) -> None:
    receipt = depot.append(BARS, bars())
    assert (receipt.how, receipt.rows) == ("new", 3)
    assert query.current_snapshot(depot.reader, BARS) == receipt.snapshot_id
    assert query.read(depot.reader, BARS).column("close").to_pylist() == [10.0, 11.0, 12.0]
