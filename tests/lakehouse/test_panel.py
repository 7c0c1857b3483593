"""A long table of bars as arrays (T, N)."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa

from lakehouse.panel import panel
from tests.kit.lake import DAY, bars


def test_rows_become_a_grid_with_nan_where_there_is_no_bar() -> None:
    late = bars("AAPL.NASDAQ", [20.0], start=DAY + dt.timedelta(days=1))
    got = panel(pa.concat_tables([bars("MSFT.NASDAQ", [10.0, 11.0, 12.0]), late]))
    assert got.symbols == ("AAPL.NASDAQ", "MSFT.NASDAQ")
    np.testing.assert_array_equal(got.close, [[np.nan, 10.0], [20.0, 11.0], [np.nan, 12.0]])
    np.testing.assert_array_equal(got.volume, [[np.nan, 100.0], [100.0, 100.0], [np.nan, 100.0]])


def test_times_are_nanoseconds_and_rise() -> None:
    got = panel(bars().take([2, 0, 1]))
    day = 86_400 * 10**9
    assert got.timestamps.dtype == np.int64
    assert got.timestamps[0] == int(DAY.timestamp()) * 10**9
    assert np.diff(got.timestamps).tolist() == [day, day]
    assert got.close[:, 0].tolist() == [10.0, 11.0, 12.0]


def test_arrays_are_float64_in_c_order() -> None:
    got = panel(bars())
    for column in (got.open, got.high, got.low, got.close, got.volume):
        assert column.dtype == np.float64
        assert column.flags.c_contiguous
        assert column.shape == (3, 1)


def test_a_missing_volume_is_nan() -> None:
    table = bars()
    place = table.schema.get_field_index("volume")
    table = table.set_column(place, "volume", pa.array([None, 1.0, 2.0], pa.float64()))
    assert np.isnan(panel(table).volume[0, 0])


def test_no_bars_are_an_empty_panel() -> None:
    got = panel(bars(closes=[]))
    assert got.symbols == ()
    assert got.close.shape == (0, 0)
