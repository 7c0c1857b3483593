"""Progress: a rate and a time left on a terminal, one sentence at the end everywhere."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from clients.cli import output, progress
from clients.cli.progress import Gauge, Tally


def frame(stage: str, second: float, **extras: Any) -> dict[str, Any]:
    return {
        "stage": stage,
        "message": stage,
        "timestamp": f"2026-01-01T00:00:{second:09.6f}Z",
    } | extras


def test_rows_are_counted_by_the_clock_of_the_frames() -> None:
    tally = Tally()
    for one in (
        frame("start", 0),
        frame("rows.processed", 1, current=5_000, total=12_154),
        frame("rows.processed", 1.9, current=12_154, total=12_154),
        frame("layer.done", 2.0),
        frame("done", 2.0),
    ):
        tally.read(one)

    assert tally.text() == "12,154 rows in 2.0 s, 6,077 rows/s"


def test_a_second_attempt_is_counted_from_its_own_start() -> None:
    tally = Tally()
    for one in (
        frame("start", 0),
        frame("rows.processed", 9, current=900, total=1_000),
        frame("start", 30),
        frame("rows.processed", 31, current=1_000, total=1_000),
    ):
        tally.read(one)

    assert tally.text() == "1,000 rows in 1.0 s, 1,000 rows/s"


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([], id="nothing"),
        pytest.param([frame("start", 0), frame("done", 1)], id="nothing that counts"),
    ],
)
def test_what_counts_nothing_says_nothing(frames: list[dict[str, Any]]) -> None:
    tally = Tally()
    for one in frames:
        tally.read(one)
    assert tally.text() == ""


def test_a_plain_log_has_a_line_per_stage_and_the_sum(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Gauge("ingest") as gauge:
        gauge.show(frame("start", 0))
        gauge.show(frame("rows.processed", 2, current=10, total=10))
        gauge.show(frame("layer.done", 2))

    assert capsys.readouterr().err.splitlines() == [
        "ingest: start: start",
        "ingest: layer.done: layer.done",
        "ingest: 10 rows in 2.0 s, 5 rows/s",
    ]


def test_a_terminal_shows_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, _environ={})
    monkeypatch.setattr(output, "interactive", lambda: True)
    monkeypatch.setattr(output, "errors", lambda: console)

    with Gauge("ingest") as gauge:
        assert gauge._bar is not None
        ticks = iter(range(100))
        gauge._bar.get_time = lambda: float(next(ticks))
        for done in (1_000, 2_000, 3_000):
            gauge.show(frame("rows.processed", done / 1_000, current=done, total=10_000))
        gauge._bar.refresh()

    text = screen.getvalue()
    assert "rows/s" in text
    assert "30%" in text
    assert progress.UNITS["rows.processed"] == "rows"
