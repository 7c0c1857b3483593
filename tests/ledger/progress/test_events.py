"""What a frame may carry, and how it is numbered."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.pool import Pool, transaction
from ledger.progress.events import Pending, append, dump, history, pending
from tests.kit.ledger import Desk
from topology.clock import FrozenClock

FLOATS = st.floats(-(2.0**52), 2.0**52) | st.sampled_from([float("nan"), float("inf")])
"""Whole numbers beyond 2^53 come back from jsonb with other last digits, as JSON allows."""
CLOCK = FrozenClock(dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC))


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        pytest.param(1.5, 1.5, id="a number"),
        pytest.param(float("nan"), None, id="NaN is null"),
        pytest.param(float("-inf"), None, id="so is infinity"),
        pytest.param(np.float64(2.5), 2.5, id="a numpy float is a float"),
        pytest.param("a\0b", "ab", id="NUL vanishes"),
        pytest.param("\ud800", "?", id="half a character is replaced"),
        pytest.param({"a": [1, (2, float("nan"))]}, {"a": [1, [2, None]]}, id="nested"),
        pytest.param(dt.date(2026, 1, 2), "2026-01-02", id="an object is its text"),
    ],
)
def test_extras_are_made_fit_for_json_and_postgresql(value: Any, kept: Any) -> None:
    assert pending(CLOCK, "warning", "w", {"value": value}).extras == {"value": kept}


def test_an_extra_cannot_hide_a_fixed_key() -> None:
    frame = pending(CLOCK, "start", "s", {"seq": 9, "task_id": "x", "timestamp": 1, "attempt": 1})
    assert frame.extras == {"attempt": 1}
    assert json.loads(dump(frame.numbered("t" * 26, 3))) == {
        "task_id": "t" * 26,
        "stage": "start",
        "message": "s",
        "timestamp": "2026-01-02T03:04:05.678901Z",
        "seq": 3,
        "attempt": 1,
    }


@settings(max_examples=40, deadline=None)
@given(
    message=st.text(),
    extras=st.dictionaries(st.text(), st.text() | FLOATS | st.integers() | st.binary(), max_size=4),
)
def test_any_frame_can_be_kept_and_comes_back_the_same(
    pool: Pool, message: str, extras: dict[str, Any]
) -> None:
    task_id = "p" * 26
    with transaction(pool) as connection:
        (kept,) = append(
            connection, task_id, [pending(CLOCK, "warning", message, extras)], fence=kept_fence()
        )
    assert history(pool, task_id, after=kept.seq - 1) == [kept]


_fences = iter(range(1, 10_000))


def kept_fence() -> int:
    """Return a new writer for each example, or its frame would be known already."""
    return next(_fences)


def test_frames_of_one_writer_are_kept_once_however_often_they_are_handed_in(
    desk: Desk, pool: Pool
) -> None:
    task_id = desk.submit().task_id
    frames = [Pending("warning", str(n), "t", ticket=n) for n in range(1, 6)]

    def hand_in(count: int, fence: int) -> list[int]:
        with transaction(pool) as connection:
            kept = append(connection, task_id, frames[:count], fence=fence)
        return [frame.seq for frame in kept]

    assert hand_in(3, fence=1) == [1, 2, 3]
    assert hand_in(3, fence=1) == []
    assert hand_in(5, fence=1) == [4, 5]
    assert hand_in(1, fence=2) == [6]
    assert [frame.seq for frame in history(pool, task_id)] == [1, 2, 3, 4, 5, 6]
