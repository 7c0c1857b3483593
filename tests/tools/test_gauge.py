"""Frames as MCP progress: every report is larger than the one before."""

from __future__ import annotations

from typing import Any

import pytest

from tools.runs import Gauge
from topology.frames import Frame


def frame(stage: str, **extras: Any) -> Frame:
    return Frame(
        task_id="t" * 26, stage=stage, message="m", timestamp="2026-01-01T00:00:00Z", **extras
    )


def test_counts_move_the_gauge_and_words_only_nudge_it() -> None:
    gauge = Gauge()

    read = [
        gauge.read(frame("start", attempt=1)),
        gauge.read(frame("bar.processed", current=150, total=300)),
        gauge.read(frame("warning", code="late_listing")),
        gauge.read(frame("bar.processed", current=300, total=300)),
        gauge.read(frame("done")),
    ]

    assert [value for value, _, _ in read] == pytest.approx([0.001, 150, 150.001, 300, 300.001])
    assert [total for _, total, _ in read] == [None, 300, 300, 300, 300]
    assert read[2][2] == "warning: m"


def test_a_second_attempt_that_counts_from_the_start_never_runs_backwards() -> None:
    gauge = Gauge()
    counts = [100, 200, 50, 100, 250]

    values = [gauge.read(frame("bar.processed", current=n, total=300))[0] for n in counts]

    assert values == sorted(set(values))
