"""Tables as JSON: nothing that JSON lacks gets out, and nothing grows beyond its caps."""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from typing import Any

import pytest

from tools.rows import capped, cell

NOON = dt.datetime(2012, 12, 31, 21, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(math.nan, None, id="NaN is null"),
        pytest.param(-math.inf, None, id="infinity is null"),
        pytest.param(NOON, "2012-12-31T21:00:00Z", id="a time"),
        pytest.param(NOON.replace(tzinfo=None), "2012-12-31T21:00:00Z", id="naive means UTC"),
        pytest.param(NOON.date(), "2012-12-31", id="a day"),
        pytest.param(2**53, 2**53, id="the largest exact integer"),
        pytest.param(2**53 + 1, "9007199254740993", id="beyond it text"),
        pytest.param(True, True, id="true stays true"),
        pytest.param(Decimal("1.50"), "1.50", id="a decimal keeps its digits"),
        pytest.param(b"\xff\x00", "ff00", id="bytes in hex"),
        pytest.param({"a": [math.nan]}, {"a": [None]}, id="inside"),
        pytest.param(dt.timedelta(days=1), "1 day, 0:00:00", id="anything else as text"),
    ],
)
def test_a_cell_by_hand(value: Any, expected: Any) -> None:
    assert cell(value) == expected
    json.dumps(cell(value), allow_nan=False)


def test_rows_beyond_the_cap_are_left_out_and_it_says_so() -> None:
    rows = capped(["n"], ([n] for n in range(10)), most_rows=3, snapshot_ids={"t": "7"})

    assert rows.model_dump() == {
        "columns": ["n"],
        "rows": [[0], [1], [2]],
        "row_count": 3,
        "truncated": True,
        "snapshot_ids": {"t": "7"},
    }


def test_exactly_as_many_rows_as_the_cap_are_not_truncated() -> None:
    rows = capped(["n"], ([n] for n in range(3)), most_rows=3, snapshot_ids={})

    assert (rows.row_count, rows.truncated) == (3, False)


def test_long_rows_are_cut_by_their_characters() -> None:
    rows = capped(["text"], (["x" * 20_000] for _ in range(10)), most_rows=10, snapshot_ids={})

    assert (rows.row_count, rows.truncated) == (2, True)
