"""Times of remote rows: what has a zone is an instant, anything else is for the cleaning."""

from __future__ import annotations

import datetime as dt

import pytest

from lakehouse.providers.times import ends, written
from topology.sources import Times

NEW_YORK = Times(timezone="America/New_York", close="16:00")
START = Times(timezone="America/New_York", close="16:00", label="start")


@pytest.mark.parametrize(
    ("text", "times", "resolution", "shown", "end"),
    [
        pytest.param(
            "2024-11-03 01:30:00",
            NEW_YORK,
            "1h",
            "2024-11-03T01:30:00.000000",
            "2024-11-03T05:30Z",
            id="the hour that the clock shows twice is not chosen here",
        ),
        pytest.param(
            "2024-03-10T02:30",
            NEW_YORK,
            "1m",
            "2024-03-10T02:30:00.000000",
            "2024-03-10T07:30Z",
            id="nor is the hour that it skips",
        ),
        pytest.param(
            "2024-01-02T10:00-05:00",
            START,
            "1m",
            "2024-01-02T15:00:00.000000Z",
            "2024-01-02T15:01Z",
            id="an instant, the start of a minute",
        ),
        pytest.param(
            "2024-01-02 00:00:00",
            NEW_YORK,
            "1d",
            "2024-01-02T00:00:00.000000",
            "2024-01-02T21:00Z",
            id="midnight is the day, which has not ended before its close",
        ),
        pytest.param("2024-01-02", NEW_YORK, "1d", "2024-01-02", "2024-01-02T21:00Z", id="a day"),
        pytest.param(
            "2024-01-02T05:00Z",
            START,
            "1d",
            "2024-01-02",
            "2024-01-02T21:00Z",
            id="a day by its first instant",
        ),
    ],
)
def test_a_time_in_words_and_when_its_bar_ends(
    text: str, times: Times, resolution: str, shown: str, end: str
) -> None:
    assert written(text, times, resolution) == shown  # type: ignore[arg-type]
    assert ends(text, times, resolution) == dt.datetime.fromisoformat(end)  # type: ignore[arg-type]
