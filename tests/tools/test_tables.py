"""What tables and symbols there were: as of a snapshot, as of a time."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

from lakehouse import schemas
from runtimes.context import Workshop
from tests.kit.market import put, walks
from tests.kit.office import ANNA
from tools import data, data_pictures, data_resources
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


def test_the_list_and_the_resources_of_tables_are_told_as_of(
    office: Office, workshop: Workshop
) -> None:
    """A table with a planted row of the next century, then another table."""
    old, new = "alphaswarm_silver_toldfirst.bars_1d", "alphaswarm_silver_toldlater.bars_1d"
    bars = walks(SYMBOLS[:1], bars=3)
    first = put(workshop, old, bars.slice(0, 1)).snapshot_id
    ahead = [moment.replace(year=2101) for moment in bars["timestamp"].to_pylist()[2:]]
    late = bars.slice(2).set_column(1, "timestamp", pa.array(ahead, schemas.TIME))
    second = put(workshop, old, late).snapshot_id
    between = dt.datetime.now(dt.UTC).isoformat()  # noqa: TID251  snapshots know no other
    third = put(workshop, new, walks(SYMBOLS[1:2], bars=2)).snapshot_id

    def told(as_of: str | None) -> dict[str, tuple[int, str | None]]:
        page = data.list_tables(limit=200, as_of=as_of, office=office, caller=ANNA)
        return {one.table: (one.rows, one.snapshot_id) for one in page.tables}

    assert (told(None)[old], told(None)[new]) == ((2, second), (2, third))
    assert (told(third)[old], told(third)[new]) == ((2, second), (2, third))
    assert told(first)[old] == (1, first)
    assert told(between)[old] == (1, second), "the row of the next century is not counted"
    assert new not in told(first) | told(between)
    assert told("2020-01-01T00:00:00Z") == {}
    for wrong, code in (("yesterday", "invalid_arguments"), ("12345", "snapshot_expired")):
        with pytest.raises(AlphaSwarmError) as refused:
            told(wrong)
        assert refused.value.wire_code == code

    seen = data_resources.table(old, between, office=office, caller=ANNA)
    held = data_resources.coverage(old, first, office=office, caller=ANNA)
    schema = data_resources.schema(old, first, office=office, caller=ANNA)
    assert (seen.rows, seen.symbols, [one.rows for one in held.symbols]) == (1, 1, [1])
    assert schema.columns == seen.columns
    then, now = (
        data_pictures.coverage_picture(old, as_of, office=office, caller=ANNA)
        for as_of in (between, None)
    )
    assert ("2101" in then, "2101" in now) == (False, True)
    with pytest.raises(AlphaSwarmError) as early:
        data_resources.schema(new, between, office=office, caller=ANNA)
    assert early.value.wire_code == "snapshot_expired"
