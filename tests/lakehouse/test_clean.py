"""Rows become bars, or rejects that say why; nothing disappears."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.clean import REASONS
from lakehouse.errors import SchemaMismatchError
from lakehouse.providers.base import Reading
from tests.kit.clean import Cleaned, clean

GOOD = {
    "vt_symbol": "AAPL.NASDAQ",
    "timestamp": "2024-01-02T21:00:00Z",
    "open": "10",
    "high": "12",
    "low": "9",
    "close": "11",
    "volume": "100",
}
NEW_YORK = Reading(timezone="America/New_York")


def cleaned(*rows: dict[str, Any], reading: Reading | None = None, daily: bool = True) -> Cleaned:
    names = list(rows[0])
    table = pa.table({name: [row[name] for row in rows] for name in names})
    return clean(table, reading, resolution="1d" if daily else "1m")


def ends(result: Cleaned) -> list[str]:
    return [moment.isoformat() for moment in result.bars.column("timestamp").to_pylist()]


def test_a_good_row_is_a_bar() -> None:
    bar = cleaned(GOOD).bars.to_pylist()[0]
    assert bar == {
        "vt_symbol": "AAPL.NASDAQ",
        "timestamp": dt.datetime(2024, 1, 2, 21, tzinfo=dt.UTC),
        "open": 10.0,
        "high": 12.0,
        "low": 9.0,
        "close": 11.0,
        "volume": 100.0,
        "currency": "USD",
    }


@pytest.mark.parametrize("day", ["2024-01-02", "20240102", dt.date(2024, 1, 2)])
def test_a_day_alone_is_the_time_of_no_minute(day: Any) -> None:
    """Daily rows in a table of minutes would be minutes at the close, in silence."""
    rows = [{**GOOD, "timestamp": day}]
    assert ends(cleaned(*rows)) == ["2024-01-02T16:00:00+00:00"]
    refused = cleaned(*rows, daily=False)
    assert refused.bars.num_rows == 0
    assert refused.rejects.column("reason").to_pylist() == ["bad_time"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"vt_symbol": "AAPL"}, "bad_symbol", id="no exchange"),
        pytest.param({"vt_symbol": "aapl.nasdaq"}, "bad_symbol", id="small letters"),
        pytest.param({"vt_symbol": ""}, "bad_symbol", id="no symbol"),
        pytest.param({"vt_symbol": None}, "bad_symbol", id="null symbol"),
        pytest.param({"timestamp": ""}, "bad_time", id="no time"),
        pytest.param({"timestamp": None}, "bad_time", id="null time"),
        pytest.param({"timestamp": "01/02/2024"}, "bad_time", id="which is the month?"),
        pytest.param({"timestamp": "2024-02-30"}, "bad_time", id="no such day"),
        pytest.param({"timestamp": "2024-01-02 25:00:00"}, "bad_time", id="no such hour"),
        pytest.param({"timestamp": "1704229200"}, "bad_time", id="seconds since 1970"),
        pytest.param({"timestamp": "infinity"}, "bad_time", id="never"),
        pytest.param({"timestamp": "0200-01-02"}, "bad_time", id="a digit is missing"),
        pytest.param({"timestamp": "2024-01-02 10:00 EST"}, "bad_time", id="a zone by name"),
        pytest.param({"timestamp": "2126-01-02"}, "future_time", id="the future"),
        pytest.param({"close": ""}, "missing_value", id="no close"),
        pytest.param({"open": None}, "missing_value", id="null open"),
        pytest.param({"high": "n/a"}, "not_a_number", id="text"),
        pytest.param({"low": "1,5"}, "not_a_number", id="decimal comma"),
        pytest.param({"close": "NaN"}, "not_a_number", id="not a number"),
        pytest.param({"high": "inf"}, "not_a_number", id="infinite"),
        pytest.param({"volume": "many"}, "not_a_number", id="text for volume"),
        pytest.param({"low": "0"}, "not_positive", id="free of charge"),
        pytest.param({"low": "-1"}, "not_positive", id="below zero"),
        pytest.param({"volume": "-1"}, "not_positive", id="negative volume"),
        pytest.param({"high": "10.5"}, "inconsistent", id="close above high"),
        pytest.param({"low": "10.5"}, "inconsistent", id="open below low"),
        pytest.param({"currency": "usd"}, "bad_currency", id="small currency"),
    ],
)
def test_a_bad_row_is_rejected_with_its_reason(change: dict[str, Any], reason: str) -> None:
    row = {**GOOD, "currency": "USD", **change}
    result = cleaned(row, {**GOOD, "currency": "USD", "timestamp": "2024-01-03T21:00:00Z"})
    assert result.bars.num_rows == 1
    (reject,) = result.rejects.to_pylist()
    assert (reject["row"], reject["reason"], reject["detail"]) == (1, reason, REASONS[reason])
    for name, value in change.items():
        assert f'"{name}":{"null" if value is None else chr(34)}' in reject["content"]


def test_no_volume_is_no_fault() -> None:
    assert cleaned({**GOOD, "volume": ""}).bars.column("volume").to_pylist() == [None]


@pytest.mark.parametrize(
    ("text", "reading", "end"),
    [
        pytest.param("2024-01-02", NEW_YORK, "2024-01-02T21:00:00+00:00", id="a winter day"),
        pytest.param("2024-07-02", NEW_YORK, "2024-07-02T20:00:00+00:00", id="a summer day"),
        pytest.param("20240702", NEW_YORK, "2024-07-02T20:00:00+00:00", id="without dashes"),
        pytest.param(
            "2024-01-02", Reading(close="00:00"), "2024-01-02T00:00:00+00:00", id="ends at midnight"
        ),
        pytest.param(
            "2024-01-02 00:00:00", NEW_YORK, "2024-01-02T21:00:00+00:00", id="midnight is a day"
        ),
        pytest.param(
            "2024-01-02 00:00:00.000000000",
            NEW_YORK,
            "2024-01-02T21:00:00+00:00",
            id="as pandas writes a day",
        ),
        pytest.param("2024-01-02 15:30", NEW_YORK, "2024-01-02T20:30:00+00:00", id="a local time"),
        pytest.param(
            "2024-01-02T15:30:00.250", NEW_YORK, "2024-01-02T20:30:00.250000+00:00", id="fractions"
        ),
        pytest.param("2024-01-02T15:30:00Z", NEW_YORK, "2024-01-02T15:30:00+00:00", id="Z"),
        pytest.param(
            "2024-01-02 15:30:00+05:30", NEW_YORK, "2024-01-02T10:00:00+00:00", id="an offset"
        ),
        pytest.param(" 2024-01-02T15:30Z ", NEW_YORK, "2024-01-02T15:30:00+00:00", id="spaces"),
    ],
)
def test_times_are_the_ends_of_bars_in_utc(text: str, reading: Reading, end: str) -> None:
    assert ends(cleaned({**GOOD, "timestamp": text}, reading=reading)) == [end]


def test_midnight_is_a_time_where_bars_are_shorter_than_a_day() -> None:
    result = cleaned({**GOOD, "timestamp": "2024-01-02 00:00:00"}, reading=NEW_YORK, daily=False)
    assert ends(result) == ["2024-01-02T05:00:00+00:00"]


def test_a_day_that_is_labelled_by_its_start_ends_with_the_clock_of_its_zone() -> None:
    """New York put its clocks forward on 10 March 2024: that day had 23 hours."""
    start = Reading(timezone="America/New_York", label="start")
    plain = [GOOD | {"timestamp": f"2024-03-{day:02} 17:00:00"} for day in (8, 9, 10)]
    zoned = [GOOD | {"timestamp": f"2024-03-{day}"} for day in ("10T00:00-05:00", "11T00:00-04:00")]
    assert ends(cleaned(*plain, reading=start)) == [
        "2024-03-09T22:00:00+00:00",
        "2024-03-10T21:00:00+00:00",
        "2024-03-11T21:00:00+00:00",
    ]
    assert ends(cleaned(*zoned, reading=start)) == [
        "2024-03-11T04:00:00+00:00",
        "2024-03-12T04:00:00+00:00",
    ]


def test_a_clock_time_that_daylight_saving_skips_does_not_exist() -> None:
    result = cleaned(
        {**GOOD, "timestamp": "2024-03-10 02:30:00"}, GOOD, reading=NEW_YORK, daily=False
    )
    assert result.rejects.column("reason").to_pylist() == ["bad_time"]


def minutes(*times: str, **reading: Any) -> Cleaned:
    """Return minutes of New York that were given these times."""
    rows = [{**GOOD, "timestamp": time} for time in times]
    return cleaned(*rows, reading=replace(NEW_YORK, **reading), daily=False)


def test_the_hour_that_the_clock_shows_twice_is_no_time() -> None:
    result = minutes("2024-11-03 01:30", "2024-11-03 02:30")
    assert ends(result) == ["2024-11-03T07:30:00+00:00"]
    assert result.rejects.column("reason").to_pylist() == ["ambiguous_time"]


@pytest.mark.parametrize(("fold", "hour"), [("first", 5), ("second", 6)])
def test_the_reading_may_say_which_of_two_hours_is_meant(fold: str, hour: int) -> None:
    assert ends(minutes("2024-11-03 01:30", fold=fold)) == [f"2024-11-03T0{hour}:30:00+00:00"]


def test_a_time_may_be_the_start_of_its_bar() -> None:
    assert ends(minutes("2024-01-02 09:30", label="start")) == ["2024-01-02T14:31:00+00:00"]


def test_times_with_and_without_a_zone_are_not_mixed() -> None:
    result = minutes("2024-01-02 10:00", "2024-01-02T15:01:00Z")
    assert ends(result) == ["2024-01-02T15:01:00+00:00"]
    assert result.rejects.column("reason").to_pylist() == ["mixed_zones"]


@pytest.mark.parametrize(
    ("values", "end"),
    [
        pytest.param(
            pa.array([dt.date(2024, 1, 2)]), "2024-01-02T21:00:00+00:00", id="a column of dates"
        ),
        pytest.param(
            pa.array([dt.datetime(2024, 1, 2, 15, tzinfo=dt.UTC)], pa.timestamp("us", tz="UTC")),
            "2024-01-02T15:00:00+00:00",
            id="a column of instants",
        ),
        pytest.param(pa.array([20240102]), "2024-01-02T21:00:00+00:00", id="dates as integers"),
    ],
)
def test_typed_times_are_read_like_text(values: pa.Array, end: str) -> None:
    rows = {**{k: [v] for k, v in GOOD.items()}, "timestamp": values}
    assert ends(clean(pa.table(rows), NEW_YORK)) == [end]


def test_the_first_row_of_a_key_is_kept_and_the_others_point_at_it() -> None:
    result = cleaned(GOOD, {**GOOD, "close": "10"}, {**GOOD, "timestamp": "2024-01-02 21:00+00"})
    assert result.bars.column("close").to_pylist() == [11.0]
    assert [(r["row"], r["reason"], r["detail"][-5:]) for r in result.rejects.to_pylist()] == [
        (2, "duplicate_key", "row 1"),
        (3, "duplicate_key", "row 1"),
    ]


def test_a_bad_row_does_not_stand_in_the_way_of_a_good_one() -> None:
    result = cleaned({**GOOD, "close": "x"}, GOOD)
    assert result.bars.num_rows == 1
    assert result.rejects.column("reason").to_pylist() == ["not_a_number"]


class TestColumns:
    """Names are found by the reading, or by more than case and spaces."""

    def test_capitals_spaces_and_underscores_do_not_matter(self) -> None:
        names = {"vt_symbol": "VT Symbol", "timestamp": "Date", "open": "OPEN", "close": "Close "}
        row = {names.get(name, name): value for name, value in GOOD.items()}
        assert cleaned(row).bars.num_rows == 1

    def test_a_mapping_names_what_differs(self) -> None:
        row = {name if name != "close" else "last": value for name, value in GOOD.items()}
        assert cleaned(row, reading=Reading(columns={"close": "last"})).bars.num_rows == 1

    def test_constants_stand_in(self) -> None:
        row = {name: value for name, value in GOOD.items() if name != "vt_symbol"}
        reading = Reading(vt_symbol="BRK.B.NYSE", currency="EUR")
        (bar,) = cleaned(row, reading=reading).bars.to_pylist()
        assert (bar["vt_symbol"], bar["currency"]) == ("BRK.B.NYSE", "EUR")

    def test_volume_may_be_declared_absent(self) -> None:
        row = {name: value for name, value in GOOD.items() if name != "volume"}
        with pytest.raises(SchemaMismatchError, match="volume"):
            cleaned(row)
        result = cleaned(row, reading=Reading(columns={"volume": ""}))
        assert result.bars.column("volume").to_pylist() == [None]

    @pytest.mark.parametrize("name", ["vt_symbol", "timestamp", "open", "high", "low", "close"])
    def test_a_missing_column_is_named_with_the_nearest_one(self, name: str) -> None:
        row = {(f"{k}x" if k == name else k): v for k, v in GOOD.items()}
        with pytest.raises(SchemaMismatchError) as caught:
            cleaned(row)
        assert caught.value.facts["column"] == name
        assert caught.value.facts["nearest"][0] == f"{name}x"

    def test_a_mapping_to_nothing_is_named(self) -> None:
        with pytest.raises(SchemaMismatchError) as caught:
            cleaned(GOOD, reading=Reading(columns={"close": "closse"}))
        assert caught.value.facts["nearest"][0] == "close"


values = st.none() | st.sampled_from(["", "1", "-1", "x", "1e3", "2024-01-02", "NaN", "A.B", "'"])


@given(
    rows=st.lists(st.fixed_dictionaries(dict.fromkeys(GOOD, values)) | st.just(GOOD), min_size=1)
)
@settings(max_examples=25, deadline=None)
def test_every_row_is_a_bar_or_a_reject(rows: list[dict[str, Any]]) -> None:
    table = pa.table({n: pa.array([r[n] for r in rows], pa.string()) for n in GOOD})
    result = clean(table)
    assert result.bars.num_rows + result.rejects.num_rows == len(rows)
    assert set(result.rejects.column("reason").to_pylist()) <= set(REASONS)
    keys = result.bars.select(["vt_symbol", "timestamp"]).to_pylist()
    assert len(keys) == len({tuple(key.values()) for key in keys})
