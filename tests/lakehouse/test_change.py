"""A change of a table copies its metadata once, and commits what pyiceberg's own would."""

from __future__ import annotations

from lakehouse import catalog, query
from lakehouse.change import Change
from tests.kit.lake import BARS, Depot, bars
from tests.kit.upkeep import small


def test_the_metadata_is_made_once_for_each_set_of_staged_updates(depot: Depot) -> None:
    small(depot, BARS, 2)
    table = catalog.load(depot.writer, BARS)
    change = Change(table)

    assert change.table_metadata is table.metadata
    change.set_properties({"a": "1"})
    first = change.table_metadata
    assert first.properties["a"] == "1"
    assert change.table_metadata is first
    change.set_properties({"a": "2"})
    assert change.table_metadata.properties["a"] == "2"
    assert "a" not in table.metadata.properties


def test_a_change_that_lost_a_race_is_made_again_on_top_of_the_winner(depot: Depot) -> None:
    """Somebody else commits between our look and our commit: pyiceberg tries again."""
    small(depot, BARS, 2)
    table = catalog.load(depot.writer, BARS)
    mine = bars(closes=(7.0,)).cast(table.schema().as_arrow())

    with Change(table) as change:
        change.append(mine)
        small(depot, BARS, 1, first=2)

    kept = [
        s.summary.additional_properties["total-records"] for s in table.snapshots() if s.summary
    ]
    assert kept == ["1", "2", "3", "4"]
    assert query.read(depot.reader, BARS).num_rows == 4
