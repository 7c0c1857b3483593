"""What tables and symbols there were: as of a snapshot, as of a time."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

from lakehouse import schemas
from runtimes.context import Workshop
from tests.kit.market import put, walks
from tests.kit.office import ANNA
from tools import data
from tools.registry import Office
from topology.errors import AlphaSwarmError

SYMBOLS = ["AAA.TEST", "ABB.TEST", "BBB.TEST"]


def test_tables_and_symbols_are_told_as_of_a_snapshot_and_a_time(
    office: Office, workshop: Workshop
) -> None:
    """Two symbols came first; the third one's bars all end in the next century."""
    name, whole = "alphaswarm_silver_past.bars_1d", walks(SYMBOLS, bars=30)
    first = put(workshop, name, whole.slice(0, 60)).snapshot_id
    ahead = [moment.replace(year=2101) for moment in whole["timestamp"].to_pylist()[60:]]
    late = whole.slice(60).set_column(1, "timestamp", pa.array(ahead, schemas.TIME))
    put(workshop, name, late)
    now = dt.datetime.now(dt.UTC).isoformat()  # noqa: TID251  snapshots know no other

    def told(as_of: str | None) -> tuple[int, int | None, list[str]]:
        table = data.describe_table(name, as_of, office=office, caller=ANNA)
        found = data.search_symbols("", name, as_of, office=office, caller=ANNA)
        return table.rows, table.symbols, [row.vt_symbol for row in found.symbols]

    assert told(None) == (90, 3, SYMBOLS)
    assert told(first) == told(now) == (60, 2, SYMBOLS[:2])
    with pytest.raises(AlphaSwarmError) as refused:
        told("2020-01-01T00:00:00Z")
    assert refused.value.wire_code == "snapshot_expired"
