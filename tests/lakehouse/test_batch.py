"""A batch is fitted to its table's shape, and equal batches have equal digests."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import batch
from lakehouse.errors import (
    DuplicateKeyError,
    EmptyAppendError,
    SchemaMismatchError,
    TimestampTypeError,
)
from lakehouse.schemas import BARS, FILLS, Shape
from tests.kit.lake import bars

PINNED = "3cb7cf401ebe4792394043d8e893f66f80c6b875fce079472fba346b8832fef9"
SMALL = Shape(
    pa.schema(
        [
            pa.field("k", pa.string(), nullable=False),
            pa.field("x", pa.float64()),
            pa.field("b", pa.bool_()),
        ]
    ),
    ("k",),
    ("k",),
)
"""A shape with a key, a nullable number and a packed column."""


def replaced(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)


def test_columns_come_out_in_the_registered_order_and_rows_in_key_order() -> None:
    given = pa.concat_tables([bars("MSFT.NASDAQ"), bars("AAPL.NASDAQ")])
    fitted = batch.fit(given.select(given.schema.names[::-1]), BARS)
    assert fitted.schema == BARS.columns
    assert fitted.column("vt_symbol").to_pylist() == ["AAPL.NASDAQ"] * 3 + ["MSFT.NASDAQ"] * 3


def test_rows_without_a_key_keep_their_order_among_equals() -> None:
    table = pa.table(
        {
            "run_id": ["b", "a", "a"],
            "timestamp": pa.array([0, 0, 0], pa.timestamp("us", tz="UTC")),
            "vt_symbol": ["X.A", "Z.A", "Y.A"],
            "side": ["buy"] * 3,
            "quantity": [1.0] * 3,
            "price": [1.0] * 3,
            "fee": [0.0] * 3,
            "order_id": [1, 1, 1],
            "tag": ["t"] * 3,
        }
    )
    assert batch.fit(table, FILLS).column("vt_symbol").to_pylist() == ["Z.A", "Y.A", "X.A"]


@pytest.mark.parametrize(
    ("change", "column", "words"),
    [
        pytest.param(lambda t: t.drop_columns(["close"]), "close", "missing", id="missing"),
        pytest.param(
            lambda t: t.rename_columns({"close": "clsoe"}), "close", "missing", id="misspelt"
        ),
        pytest.param(
            lambda t: t.append_column("extra", pa.array([1, 2, 3])),
            "extra",
            "does not belong",
            id="surplus",
        ),
        pytest.param(
            lambda t: t.append_column("close", t.column("close")), "close", "twice", id="twice"
        ),
        pytest.param(
            lambda t: replaced(t, "close", pa.array(["1", "2", "3"])),
            "close",
            "cannot become double",
            id="text is no number",
        ),
        pytest.param(
            lambda t: replaced(t, "vt_symbol", pa.array([1, 2, 3])),
            "vt_symbol",
            "cannot become string",
            id="a number is no text",
        ),
        pytest.param(
            lambda t: replaced(t, "close", pa.array([1.0, None, 2.0])),
            "close",
            "1 nulls",
            id="null where a value is due",
        ),
        pytest.param(
            lambda t: replaced(t, "timestamp", pa.array([1, 2, 3])),
            "timestamp",
            "cannot become timestamp",
            id="an integer is no time",
        ),
    ],
)
def test_other_columns_are_refused_by_name(change: Any, column: str, words: str) -> None:
    with pytest.raises(SchemaMismatchError, match=words) as caught:
        batch.fit(change(bars()), BARS)
    assert caught.value.facts["column"] == column


def test_a_misspelt_column_gets_its_nearest_name() -> None:
    with pytest.raises(SchemaMismatchError) as caught:
        batch.fit(bars().rename_columns({"close": "clsoe"}), BARS)
    assert caught.value.hint == "Did you mean 'clsoe'?"


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(pa.timestamp("ns", tz="UTC"), id="nanoseconds"),
        pytest.param(pa.timestamp("us"), id="no zone"),
        pytest.param(pa.timestamp("us", tz="America/New_York"), id="another zone"),
    ],
)
def test_times_are_microseconds_utc_and_nothing_else(kind: pa.DataType) -> None:
    table = bars()
    with pytest.raises(TimestampTypeError) as caught:
        batch.fit(replaced(table, "timestamp", table.column("timestamp").cast(kind)), BARS)
    assert caught.value.hint == "Cast to timestamp[us, UTC]."


def test_coarser_times_are_taken() -> None:
    table = bars()
    coarse = replaced(
        table, "timestamp", table.column("timestamp").cast(pa.timestamp("s", tz="UTC"))
    )
    assert batch.fit(coarse, BARS) == batch.fit(table, BARS)


def test_doubled_keys_are_named() -> None:
    with pytest.raises(DuplicateKeyError) as caught:
        batch.fit(pa.concat_tables([bars(), bars(closes=[9.0])]), BARS)
    assert caught.value.facts["keys"] == [
        {"vt_symbol": "AAPL.NASDAQ", "timestamp": "2024-01-02 21:00:00+00:00"}
    ]


def test_nothing_is_no_batch() -> None:
    with pytest.raises(EmptyAppendError):
        batch.fit(bars(closes=[]), BARS)


def test_the_digest_is_pinned() -> None:
    """Digests stand in the ledger: the same rows must hash alike in every later version."""
    fitted = batch.fit(bars(), BARS)
    assert batch.digest(fitted) == PINNED


rows_of = st.lists(
    st.tuples(
        st.text(max_size=8),
        st.none() | st.floats(allow_nan=False),
        st.none() | st.booleans(),
    ),
    min_size=1,
    max_size=40,
    unique_by=lambda row: row[0],
)


def table_of(rows: list[tuple[str, float | None, bool | None]]) -> pa.Table:
    texts, numbers, flags = zip(*rows, strict=True)
    return pa.table(
        {
            "k": pa.array(texts, pa.string()),
            "x": pa.array(numbers, pa.float64()),
            "b": pa.array(flags, pa.bool_()),
        }
    )


def garbage_under_nulls(table: pa.Table) -> pa.Table:
    """Return the same values with NaN in the bytes that nobody may look at."""
    numbers = table.column("x").combine_chunks()
    values = np.array([float("nan") if v is None else v for v in numbers.to_pylist()])
    dirty = pa.array(values, mask=np.array([v is None for v in numbers.to_pylist()]))
    return replaced(table, "x", dirty)


def in_pieces(table: pa.Table) -> pa.Table:
    middle = table.num_rows // 2
    return pa.concat_tables([table.slice(0, middle), table.slice(middle)])


def with_offset(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table.slice(0, 1), table]).combine_chunks().slice(1)


LAYOUTS: dict[str, Callable[[pa.Table], pa.Table]] = {
    "in pieces": in_pieces,
    "behind an offset": with_offset,
    "garbage under nulls": garbage_under_nulls,
    "as a dictionary": lambda t: replaced(t, "k", t.column("k").dictionary_encode()),
    "as large strings": lambda t: replaced(t, "k", t.column("k").cast(pa.large_string())),
    "columns reordered": lambda t: t.select(["b", "x", "k"]),
    "rows reversed": lambda t: t.take(list(range(t.num_rows))[::-1]),
    "with metadata": lambda t: t.replace_schema_metadata({"written": "by somebody"}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@given(rows=rows_of)
@settings(max_examples=30, deadline=None)
def test_the_same_rows_hash_alike_however_they_are_built(
    layout: str, rows: list[tuple[str, float | None, bool | None]]
) -> None:
    table = table_of(rows)
    other = LAYOUTS[layout](table)
    assert batch.digest(batch.fit(other, SMALL)) == batch.digest(batch.fit(table, SMALL))


@given(rows=rows_of, data=st.data())
@settings(max_examples=60, deadline=None)
def test_one_other_value_hashes_otherwise(
    rows: list[tuple[str, float | None, bool | None]], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(rows) - 1))
    text, number, flag = rows[place]
    other = (text, 1.0 if number is None else None, flag)
    changed = [*rows[:place], other, *rows[place + 1 :]]
    first, second = (batch.fit(table_of(r), SMALL) for r in (rows, changed))
    assert batch.digest(first) != batch.digest(second)


def test_a_table_larger_than_one_message_hashes_alike_in_pieces() -> None:
    count = batch.HASHED_ROWS * 2 + 7
    table = pa.table(
        {
            "k": pa.array([f"{i:07d}" for i in range(count)]),
            "x": pa.array(np.where(np.arange(count) % 3, np.arange(count, dtype=float), np.nan)),
            "b": pa.array(np.arange(count) % 5 == 0),
        }
    )
    pieces = pa.concat_tables([table.slice(i, 10_001) for i in range(0, count, 10_001)])
    assert batch.digest(batch.fit(pieces, SMALL)) == batch.digest(batch.fit(table, SMALL))


def test_a_time_of_day_is_not_a_date() -> None:
    table = pa.table({"d": pa.array([dt.date(2024, 1, 2)])})
    shape = Shape(pa.schema([pa.field("d", pa.timestamp("us", tz="UTC"))]), ())
    with pytest.raises(SchemaMismatchError):
        batch.fit(table, shape)
